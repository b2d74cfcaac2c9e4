//! A hub of typed events: what happens to sessions, pictures, jobs and the machine, over seven
//! channels, to whoever may hear it. See the README.
//!
//! ```text
//! POST /api/… ──> hub (one lock) ──> records, queue ──> workers ──┐
//!                  │  └── tell ──> channel ──> WebSocket, SSE     │
//!                  └──────────────<────────────<─────────────<────┘
//! ```
#![forbid(unsafe_code)]

mod api;
mod archive;
pub mod bounds;
pub mod channel;
pub mod events;
pub mod hub;
mod import;
mod page;
mod queue;
mod record;
mod refusal;
pub mod server;
mod store;
pub mod system;
pub mod users;
