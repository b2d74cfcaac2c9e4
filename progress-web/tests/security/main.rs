//! Who gets in, by which way, and who does not: attacks on a gateway without a socket.

#[path = "../support/mod.rs"]
mod support;

mod door;
mod grants;
mod ladder;
mod origins;
mod people;
mod secrecy;
mod tickets;
