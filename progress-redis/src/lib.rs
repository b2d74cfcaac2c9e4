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

mod arrivals;
mod ask;
mod builder;
mod claims;
mod client;
mod connection;
mod foreign;
mod functions;
mod health;
mod home;
mod ingest;
mod kept;
mod keys;
mod message;
mod read;
mod record;
mod shard;
mod submit;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod writer;

pub use self::{
    builder::{BuildError, RedisTransportBuilder},
    transport::RedisTransport,
};
