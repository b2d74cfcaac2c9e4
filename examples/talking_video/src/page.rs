//! The page: React and the hooks of `@progress-rs/client/react`, bundled by `npm run page` in `clients/js`.

use axum::Router;
use demo::page::{self, CSS, File, HTML, JS, file};

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    page::routes(FILES)
}

const FILES: [File; 3] = [
    file("/", HTML, include_str!("../page/index.html")),
    file("/app.js", JS, include_str!("../page/bundle/app.js")),
    file("/style.css", CSS, include_str!("../page/style.css")),
];
