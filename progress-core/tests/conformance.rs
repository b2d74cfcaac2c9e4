//! The suite that every transport passes, for the broker in memory.

use progress_core::{
    conformance_tests,
    testing::{MemoryBus, conformance},
};

conformance_tests! {
    #[tokio::test(start_paused = true)]
    MemoryBus::new()
}

#[tokio::test(start_paused = true)]
async fn one_broker_shows_all_of_it_in_a_row() {
    conformance::all(&MemoryBus::new()).await;
}
