//! The page's files, embedded; the client that they import is served by the gateway, below `/dashboard`.
//! Another example serves most of them too: see [`SHARED`].

use std::borrow::Cow;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// A file of a page.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is served.
    pub path: &'static str,
    /// Its content type.
    pub content_type: &'static str,
    /// What is in it.
    pub text: Cow<'static, str>,
}

/// What sets a page of this kind apart from others. It is put into the HTML as it is.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// What stands beside "Progress" at the top.
    pub brand: &'a str,
    /// The title while nothing is watched.
    pub title: &'a str,
    /// What one can do here.
    pub heading: &'a str,
    /// What then happens.
    pub lead: &'a str,
    /// More elements of the head.
    pub head: &'a str,
}

pub(crate) fn demo<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let index = File {
        path: "/",
        content_type: HTML,
        text: index(&DEMO).into(),
    };
    routes(SHARED.into_iter().chain(OWN).chain([index]))
}

/// Makes the routes of files.
pub fn routes<S: Clone + Send + Sync + 'static>(
    files: impl IntoIterator<Item = File>,
) -> Router<S> {
    files.into_iter().fold(Router::new(), |router, file| {
        let content_type = HeaderValue::from_static(file.content_type);
        let text = match file.text {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        router.route(file.path, get(|| asset(content_type, text)))
    })
}

/// Makes the HTML of a page, which needs `/app.js` and the [`SHARED`] files.
#[must_use]
pub fn index(words: &Words<'_>) -> String {
    let places = [
        ("{brand}", words.brand),
        ("{title}", words.title),
        ("{heading}", words.heading),
        ("{lead}", words.lead),
        ("{head}", words.head),
    ];
    let page = include_str!("../page/index.html").to_owned();
    places
        .into_iter()
        .fold(page, |page, (place, text)| page.replace(place, text))
}

/// Makes a file of a text that is embedded.
#[must_use]
pub const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File {
        path,
        content_type,
        text: Cow::Borrowed(text),
    }
}

async fn asset(content_type: HeaderValue, text: Bytes) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, content_type),
        // A new server brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
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

/// The files that pages of this kind have in common: all but `/`, `/app.js`, and `/client.js`, which makes the client
/// that they watch by.
pub const SHARED: [File; 11] = [
    BASE,
    file("/style.css", CSS, include_str!("../page/style.css")),
    file("/batch.js", JS, include_str!("../page/batch.js")),
    file("/blurhash.js", JS, include_str!("../page/blurhash.js")),
    file("/dom.js", JS, include_str!("../page/dom.js")),
    file("/row.js", JS, include_str!("../page/row.js")),
    file("/shell.js", JS, include_str!("../page/shell.js")),
    file("/summary.js", JS, include_str!("../page/summary.js")),
    file("/task.js", JS, include_str!("../page/task.js")),
    file("/view.js", JS, include_str!("../page/view.js")),
    file("/words.js", JS, include_str!("../page/words.js")),
];

/// The style of any page, whatever it shows.
pub const BASE: File = file("/base.css", CSS, include_str!("../page/base.css"));

const OWN: [File; 2] = [
    file("/app.js", JS, include_str!("../page/app.js")),
    file("/client.js", JS, include_str!("../page/client.js")),
];

const DEMO: Words<'static> = Words {
    brand: "demo",
    title: "Drop files",
    heading: "Drop files, watch them being processed",
    lead: "Each file gets a checksum; each picture also its size, its camera, its colours, a preview and \
           how sharp it is. Nothing is kept but the results.",
    head: "",
};

/// Content types.
pub const HTML: &str = "text/html; charset=utf-8";
/// See [`HTML`].
pub const CSS: &str = "text/css; charset=utf-8";
/// See [`HTML`].
pub const JS: &str = "text/javascript; charset=utf-8";
