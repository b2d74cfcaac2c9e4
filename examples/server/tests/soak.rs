//! Two thousand connections for a while, of which a tenth are stuck, a tenth come and go, and a tenth
//! send garbage: nobody who is well misses anything, and the memory comes back.
//!
//! `cargo test --release -p progress-server --test soak -- --ignored --nocapture`; `SOAK_SECONDS` (20).

mod soak;
mod support;
