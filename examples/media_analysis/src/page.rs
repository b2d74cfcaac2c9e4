//! The page: the demo's, with files that send in another way.

use std::{borrow::Cow, sync::LazyLock};

use axum::Router;
use demo::page::{self, CSS, HTML, JS, file};

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let index = page::File {
        path: "/",
        content_type: HTML,
        text: Cow::Borrowed(INDEX.as_str()),
    };
    page::routes(page::SHARED.into_iter().chain(OWN).chain([index]))
}

static INDEX: LazyLock<String> = LazyLock::new(|| {
    page::index(&page::Words {
        brand: "media analysis",
        title: "Media analysis",
        heading: "Drop media, watch them being analysed",
        lead: "Many at once, five at a time: each gets a checksum; each picture also its size, its camera, its \
               colours, a preview and how sharp it is. Above 100 MB a file is sent in chunks, and can be resumed.",
        head: r#"<link rel="stylesheet" href="/media.css">"#,
    })
});

const OWN: [page::File; 5] = [
    file("/media.css", CSS, include_str!("../page/media.css")),
    file("/app.js", JS, include_str!("../page/app.js")),
    file("/client.js", JS, include_str!("../page/client.js")),
    file("/chunks.js", JS, include_str!("../page/chunks.js")),
    file("/thumb.js", JS, include_str!("../page/thumb.js")),
];
