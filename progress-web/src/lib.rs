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

mod access;
mod auth;
mod body;
mod builder;
mod clients;
pub mod encoders;
mod error;
mod gateway;
mod http_api;
mod kept;
mod limits;
mod metrics;
mod msgpack;
mod query;
mod redact;
mod refused;
mod respond;
mod routes;
mod schema;
#[cfg(feature = "serve")]
mod serve;
mod session;
mod socket;
mod sse;
mod time;
mod trace;
mod wire;

/// For implementing [`Authorizer`] without naming the crate that it comes from.
pub use async_trait::async_trait;

#[cfg(feature = "jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
pub use self::auth::jwt;
#[cfg(feature = "serve")]
pub use self::serve::{Serve, Served};
pub use self::{
    auth::{
        Action, Authorizer, Grant, InvalidOrigin, Open, Origin, Principal, Refusal, Secret,
        SubjectTooLong, WeakSecret,
    },
    body::{Body, RequestBody},
    builder::GatewayBuilder,
    error::{ApiError, Code},
    gateway::{Gateway, TaskUrls},
    http_api::{BaseUrl, InvalidBaseUrl},
    limits::{ForwardedHeader, InvalidNetwork, Network},
    redact::RedactedUri,
    routes::{Found, Path, Route},
    schema::frame_schema,
    session::{Close, Output, Session},
    socket::WebSocket,
    sse::{EventStream, TCP_USER_TIMEOUT},
};
