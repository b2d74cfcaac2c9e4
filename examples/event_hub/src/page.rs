//! The page: its own files, and of the demo's what pages have in common.

use axum::Router;
use demo::page::{self, CSS, File, HTML, JS, file};

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    page::routes(OWN.into_iter().chain([page::BASE]))
}

const OWN: [File; 13] = [
    file("/", HTML, include_str!("../page/index.html")),
    file("/style.css", CSS, include_str!("../page/style.css")),
    file("/app.js", JS, include_str!("../page/app.js")),
    file("/channels.js", JS, include_str!("../page/channels.js")),
    file("/clients.js", JS, include_str!("../page/clients.js")),
    file("/api.js", JS, include_str!("../page/api.js")),
    file("/list.js", JS, include_str!("../page/list.js")),
    file("/photos.js", JS, include_str!("../page/photos.js")),
    file("/presence.js", JS, include_str!("../page/presence.js")),
    file("/sessions.js", JS, include_str!("../page/sessions.js")),
    file("/watch.js", JS, include_str!("../page/watch.js")),
    file("/work.js", JS, include_str!("../page/work.js")),
    file("/words.js", JS, include_str!("../page/words.js")),
];
