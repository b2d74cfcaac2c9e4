//! The demo's library half: what the server does to a file, apart from how it is served.

pub mod analysis;
