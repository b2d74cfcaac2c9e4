//! A picture and a voice become a video of somebody who speaks, and whoever may sees how far it is.
//!
//! ```text
//! image + audio ─> read ─> detect ─> cut-out ─> prosody ─> script ─> render ─> GET …/result
//!                    │   CenterFace   u2netp    Silero,                │ a remote renderer,
//!                    │   or a YOLO              SwiftF0                │ or the stand-in
//!                    └─────────────────── progress-core ───────────────┴──> /api/ws, /api/sse, /api/tasks
//! ```
#![forbid(unsafe_code)]

mod generate;
mod learned;
mod media;
pub mod models;
mod page;
mod result;
pub mod server;
mod settings;
pub mod stand_in;
pub mod studio;
pub mod users;
mod webhook;
