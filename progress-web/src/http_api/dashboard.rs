//! The page that shows the live tasks. It is made from `clients/js`; `assets` holds what came of it, so
//! that nothing but Rust is needed here.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use sha2::{Digest as _, Sha256};

use super::{REVALIDATE, task::has_tag};
use crate::{
    error::{ApiError, Code},
    gateway::Gateway,
};

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
}

static PAGE: File = File {
    name: "dashboard.html",
    media: "text/html; charset=utf-8",
    bytes: include_bytes!("../../assets/dashboard.html"),
};

/// What the page asks for.
pub(super) static FILES: [File; 4] = [
    File {
        name: "dashboard.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/dashboard.css"),
    },
    File {
        name: "dashboard.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/dashboard.js"),
    },
    File {
        name: "progress-client.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/progress-client.js"),
    },
    File {
        name: "progress-view.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/progress-view.js"),
    },
];

/// Of the page and of its files, in their order.
static TAGS: LazyLock<[String; 5]> = LazyLock::new(|| {
    let [style, script, client, element] = &FILES;
    [&PAGE, style, script, client, element].map(|file| {
        let digest = Sha256::digest(file.bytes);
        let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!("\"{}\"", digits.collect::<String>())
    })
});

impl Gateway {
    /// Answers `GET /dashboard`: the page, which is the same for everybody and needs no permission.
    #[must_use]
    pub fn dashboard(&self, request: &Parts) -> Response<Bytes> {
        let mut response = file(request, &PAGE, &TAGS[0]);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        response
    }

    /// Answers `GET /dashboard/{file}`: what the page is made of. Among it is what other pages need:
    /// the client, `progress-client.js`, and on it the custom element `<progress-view>`,
    /// `progress-view.js`.
    #[must_use]
    pub fn dashboard_file(&self, request: &Parts, name: &str) -> Response<Bytes> {
        let mut files = FILES.iter().zip(&TAGS[1..]);
        match files.find(|(file, _)| file.name == name) {
            Some((found, tag)) => file(request, found, tag),
            None => ApiError::new(Code::NotFound, "the page has no such file").to_response(),
        }
    }
}

fn file(request: &Parts, file: &File, tag: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(file.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(tag).expect("digits in quotes"),
    );
    if has_tag(&request.headers, tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media));
    }
    response
}

/// The page runs what comes from here and talks to nobody else, and no other page frames it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
