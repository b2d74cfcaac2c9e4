//! Any operations on the log, against the model that its tests use.

#![no_main]

#[path = "../../progress-core/tests/log_model/model.rs"]
mod model;
#[path = "../../progress-core/tests/log_model/reader.rs"]
mod reader;
#[path = "../../progress-core/tests/log_model/world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

use self::{
    model::Bounds,
    world::{Op, World},
};

#[derive(Debug, Arbitrary)]
struct Input {
    window: u8,
    milestones: u8,
    logs: u8,
    keys: u8,
    bytes: u8,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(Bounds {
        window: usize::from(input.window % 8) + 1,
        milestones: usize::from(input.milestones % 8),
        logs: usize::from(input.logs % 8),
        keys: u32::from(input.keys % 4) + 1,
        bytes: match input.bytes {
            u8::MAX => usize::MAX,
            bytes => usize::from(bytes) + 4,
        },
    });
    // The model takes time in the square of what it holds.
    for op in input.ops.into_iter().take(MAX_OPS) {
        world.apply(op);
    }
    world.finish();
});

const MAX_OPS: usize = 300;
