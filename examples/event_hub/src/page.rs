//! The page's files, embedded; the client that they import is served by the gateway, below `/dashboard`.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, media, text)| {
            router.route(path, get(|| file(media, text)))
        })
}

async fn file(media: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        // A new server brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (headers, text).into_response()
}

/// Path, content type, text.
const FILES: [(&str, &str, &str); 13] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/app.js", JS, include_str!("../page/app.js")),
    ("/channels.js", JS, include_str!("../page/channels.js")),
    ("/clients.js", JS, include_str!("../page/clients.js")),
    ("/api.js", JS, include_str!("../page/api.js")),
    ("/list.js", JS, include_str!("../page/list.js")),
    ("/photos.js", JS, include_str!("../page/photos.js")),
    ("/presence.js", JS, include_str!("../page/presence.js")),
    ("/sessions.js", JS, include_str!("../page/sessions.js")),
    ("/watch.js", JS, include_str!("../page/watch.js")),
    ("/work.js", JS, include_str!("../page/work.js")),
    ("/words.js", JS, include_str!("../page/words.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
