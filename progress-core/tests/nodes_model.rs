//! Several nodes on one bus against a model that keeps every event that was ever numbered.
//!
//! What an owner numbers is taken down beside it, what the broker numbers by a node that nothing
//! befalls. Readers hold each frame against that: see `nodes_model/reader.rs` for what is asserted.
//! Random names of nodes and pauses between tries are not part of a case, so a failure may need
//! several runs to be seen again.

mod common;

mod nodes_model {
    mod channel;
    mod node;
    pub(crate) mod ops;
    mod reader;
    mod settle;
    mod truth;
    pub(crate) mod world;
}

use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

use self::nodes_model::{ops::op, world::World};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 4_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/nodes_model.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn g1_to_g5_hold_over_nodes_whatever_happens(count in 2..=3_usize, ops in vec(op(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(count);
            for op in ops {
                world.apply(op).await;
            }
            world.settle().await;
        });
    }
}

/// Few by default: each is seconds to minutes of the system's time.
fn cases() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(64)
}
