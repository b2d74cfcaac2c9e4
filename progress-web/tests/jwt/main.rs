//! Tokens as issuers make them, and as attackers do.

mod algorithms;
mod claims;
mod confined;
mod files;
mod forged;
mod gateway;
mod permissions;
mod properties;
mod rotation;
mod secrets;
mod support;
#[cfg(feature = "jwks-url")]
mod urls;
