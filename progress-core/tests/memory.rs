//! What is held is within the documented bounds: by an allocator that counts, so that nothing is
//! left out of the account.
//!
//! It counts each thread for itself: all that a test drives runs on its own.

mod common;

mod memory {
    mod bounds;
    mod channels;
    #[cfg(feature = "testing")]
    mod nodes;
    mod readers;
    mod tasks;
}
