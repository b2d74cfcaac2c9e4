//! The client of a remote renderer, against a real server on this machine that misbehaves.

mod configuration;
mod download;
mod render;
mod server;
mod submit;
mod webhook;
