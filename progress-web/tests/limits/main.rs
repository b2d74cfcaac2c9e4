//! What one client may have and do, and what is told to one that wants more.

mod addresses;
mod bodies;
mod connections;
mod cost;
mod frames;
mod heads;
mod messages;
mod requests;
#[path = "../support/mod.rs"]
mod sessions;
mod support;
