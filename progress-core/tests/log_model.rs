//! The log against a naive model that keeps every item ever pushed.
//!
//! The model and the checking readers are shared with the fuzz target `log_operations`.

#[path = "log_model/model.rs"]
mod model;
#[path = "log_model/reader.rs"]
mod reader;
#[path = "log_model/world.rs"]
mod world;

use std::collections::BTreeSet;

use progress_core::log::{Class, Cursor, Delivery, Log, LogLimits, OnLag, Start};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

use self::{
    model::Bounds,
    world::{Arriving, From, Lag, Op, World},
};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/log_model.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_operations_keep_every_guarantee(bounds in bounds(), ops in vec(op(), 0..160)) {
        let mut world = World::new(bounds);
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}

/// Tiny, so that every bound is met all the time.
fn bounds() -> impl Strategy<Value = Bounds> {
    let bytes = prop_oneof![Just(10_000_usize), 4..64_usize];
    (1..=8_usize, 0..=6_usize, 0..=4_usize, bytes).prop_map(|(window, milestones, logs, bytes)| {
        Bounds {
            window,
            milestones,
            logs,
            keys: 3,
            bytes,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let (key, size, reader) = (0..4_u8, 0..16_u8, 0..4_u8);
    prop_oneof![
        16 => (key.clone(), size.clone()).prop_map(|(key, size)| Op::State { key, size }),
        6 => size.clone().prop_map(|size| Op::Milestone { size }),
        6 => size.clone().prop_map(|size| Op::Line { size }),
        8 => (arriving(), size, missing())
            .prop_map(|(what, size, missing)| Op::Arrive { what, size, missing }),
        1 => (0..16_u8).prop_map(|back| Op::Lose { back }),
        2 => key.prop_map(|key| Op::Retire { key }),
        1 => Just(Op::Subscribe(From::Beginning)),
        2 => start().prop_map(Op::Subscribe),
        2 => (start(), 0..16_u8, lag())
            .prop_map(|(from, buffer, lag)| Op::SubscribeWith { from, buffer, lag }),
        14 => (reader.clone(), 0..8_u8).prop_map(|(reader, max)| Op::Read { reader, max }),
        2 => reader.prop_map(|reader| Op::Conflate { reader }),
        1 => (0..32_u8).prop_map(|bytes| Op::ShrinkTo { bytes }),
        1 => (0..8_u8).prop_map(|limit| Op::Page { limit }),
    ]
}

fn arriving() -> impl Strategy<Value = Arriving> {
    prop_oneof![
        4 => (0..4_u8).prop_map(|key| Arriving::State { key }),
        2 => Just(Arriving::Milestone),
        2 => Just(Arriving::Line),
    ]
}

/// Often none: then it is as if the log had numbered it.
fn missing() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), any::<u8>()]
}

fn start() -> impl Strategy<Value = From> {
    prop_oneof![
        1 => Just(From::Beginning),
        4 => (0..40_u8).prop_map(|back| From::After { back }),
        1 => Just(From::Latest),
        1 => Just(From::Head),
    ]
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![Just(Lag::Conflate), Just(Lag::Gap), Just(Lag::Close)]
}

/// Two keys in turn, a reader that takes one item in the time of eight.
fn keys_seen_by_a_slow_reader(limits: LogLimits, buffer: Option<u64>) -> BTreeSet<u32> {
    let mut log = Log::new(limits);
    let mut cursor = Cursor::new(&log, Start::Beginning);
    if let Some(items) = buffer {
        cursor = cursor.buffer(items, OnLag::Conflate);
    }
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for _ in 0..100 {
        for turn in 0..8 {
            let key = turn % 2;
            log.push(Class::State(key), u64::from(key)).unwrap();
        }
        log.read(&mut cursor, 1, &mut out).unwrap();
        seen.extend(out.drain(..).map(|delivery| match delivery {
            Delivery::Item { item, .. } => item as u32,
            other => panic!("nothing is lost: {other:?}"),
        }));
    }
    seen
}

#[test]
fn a_reader_of_one_item_at_a_time_starves_no_key() {
    for window in 1..=10 {
        let limits = LogLimits::default().window(window);
        let seen = keys_seen_by_a_slow_reader(limits, None);
        assert_eq!(seen, [0, 1].into(), "window {window}");
    }
}

#[test]
fn a_buffer_wider_than_the_window_starves_no_key() {
    let limits = LogLimits::default().window(4);
    assert_eq!(
        keys_seen_by_a_slow_reader(limits, Some(1_000)),
        [0, 1].into()
    );
}

#[test]
fn a_window_narrowed_by_the_byte_budget_starves_no_key() {
    let limits = LogLimits::default().bytes(4 * size_of::<u64>());
    assert_eq!(keys_seen_by_a_slow_reader(limits, None), [0, 1].into());
}
