//! Serving over TCP: HTTP/1.1 with upgrades, bounded, and coming to a stop that clients are told of.
//!
//! [`options`] is what can be set, [`run`] the order of things, [`accept`] where connections come
//! from, [`connections`] those that are open, [`carry`] one of them, [`head`] how long its requests
//! may take to say what they are, [`stop`] who says when it is over.

mod accept;
mod carry;
mod connections;
mod head;
mod options;
mod run;
mod stop;

pub use self::{options::Serve, run::Served};
