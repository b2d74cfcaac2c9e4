#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    missing_debug_implementations,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used
)]

mod router;
#[cfg(feature = "serve")]
mod serve;
mod upgrade;

pub use progress_core::ProgressTracker;
#[cfg(feature = "jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
pub use progress_web::jwt;
pub use progress_web::{Gateway, Open, Path};
#[cfg(feature = "serve")]
pub use progress_web::{Serve, Served};

pub use self::router::{route_as, router, router_with};
#[cfg(feature = "serve")]
pub use self::serve::serve;
