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
        .fold(Router::new(), |router, (path, content_type, text)| {
            router.route(path, get(|| asset(content_type, text)))
        })
}

async fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // A new server brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        // The address holds the batch's id, which is what lets one watch it.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (headers, text).into_response()
}

type File = (&'static str, &'static str, &'static str);

/// Path, content type, text.
const FILES: [File; 11] = [
    file("/", HTML, include_str!("../page/index.html")),
    file("/style.css", CSS, include_str!("../page/style.css")),
    file("/app.js", JS, include_str!("../page/app.js")),
    file("/batch.js", JS, include_str!("../page/batch.js")),
    file("/blurhash.js", JS, include_str!("../page/blurhash.js")),
    file("/dom.js", JS, include_str!("../page/dom.js")),
    file("/row.js", JS, include_str!("../page/row.js")),
    file("/summary.js", JS, include_str!("../page/summary.js")),
    file("/task.js", JS, include_str!("../page/task.js")),
    file("/view.js", JS, include_str!("../page/view.js")),
    file("/words.js", JS, include_str!("../page/words.js")),
];

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    (path, content_type, text)
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
