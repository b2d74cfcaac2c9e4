//! The server behind real proxies, with the very files that `docs/deployment.md` shows.

#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod clients;
mod files;
mod logs;
mod nodes;
mod proxy;
mod rolling;
mod streams;
mod tls;
