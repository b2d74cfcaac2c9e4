//! What may happen.

use std::time::Duration;

use progress_core::{OnLag, Replay, testing::Faults};
use proptest::prelude::*;

/// Indices are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Start {
        node: u8,
        task: u8,
        restart: bool,
    },
    Share {
        node: u8,
        task: u8,
    },
    Report {
        held: u8,
        what: Report,
    },
    /// Ends a task by its handle.
    End {
        held: u8,
        how: End,
    },
    Publish {
        node: u8,
        task: u8,
        what: Said,
        id: Option<u8>,
    },
    Emit {
        node: u8,
    },
    Cancel {
        node: u8,
        task: u8,
    },
    Subscribe {
        node: u8,
        task: u8,
        options: Options,
    },
    Read {
        reader: u8,
        batches: u8,
    },
    ReadAll,
    Conflate {
        reader: u8,
    },
    Leave {
        reader: u8,
    },
    SubscribeChannel {
        node: u8,
        options: Options,
    },
    ReadChannels,
    Disconnect {
        node: u8,
    },
    Reconnect {
        node: u8,
    },
    Faults {
        node: u8,
        faults: Faults,
        seed: u64,
    },
    /// The process dies, and another takes its place.
    Kill {
        node: u8,
    },
    /// The broker is started again, with nothing in it.
    Forget,
    Advance(Duration),
}

#[derive(Debug, Clone)]
pub(crate) enum Report {
    Percent(u8),
    Count(u8),
    Stage(u8),
    Message,
    Metadata,
    Line,
    Error,
    Mark,
    Marks(u8),
    Gauge(u8),
    Pause,
    Resume,
    Reset,
}

#[derive(Debug, Clone)]
pub(crate) enum End {
    Complete,
    Fail,
    Drop,
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    Percent(u8),
    Stage(u8),
    Line,
    Mark,
    Gauge(u8),
    Pause,
    Complete,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) from: From,
    pub(crate) replay: Replay,
    pub(crate) buffer: Option<u8>,
    pub(crate) on_lag: OnLag,
}

#[derive(Debug, Clone)]
pub(crate) enum From {
    Nowhere,
    /// Where another reader stands or stood, on whatever node.
    Kept(u8),
    /// So far from the newest event of the newest run, also beyond it.
    Near(i8),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let (node, task, one) = (0..3_u8, 0..3_u8, 0..8_u8);
    prop_oneof![
        5 => (node.clone(), task.clone(), any::<bool>())
            .prop_map(|(node, task, restart)| Op::Start { node, task, restart }),
        2 => (node.clone(), task.clone()).prop_map(|(node, task)| Op::Share { node, task }),
        22 => (one.clone(), report()).prop_map(|(held, what)| Op::Report { held, what }),
        3 => (one.clone(), end()).prop_map(|(held, how)| Op::End { held, how }),
        9 => (node.clone(), task.clone(), said(), prop::option::of(0..4_u8))
            .prop_map(|(node, task, what, id)| Op::Publish { node, task, what, id }),
        3 => node.clone().prop_map(|node| Op::Emit { node }),
        1 => (node.clone(), task.clone()).prop_map(|(node, task)| Op::Cancel { node, task }),
        8 => (node.clone(), task, options())
            .prop_map(|(node, task, options)| Op::Subscribe { node, task, options }),
        9 => (one.clone(), 1..3_u8).prop_map(|(reader, batches)| Op::Read { reader, batches }),
        3 => Just(Op::ReadAll),
        1 => one.clone().prop_map(|reader| Op::Conflate { reader }),
        1 => one.prop_map(|reader| Op::Leave { reader }),
        2 => (node.clone(), options())
            .prop_map(|(node, options)| Op::SubscribeChannel { node, options }),
        2 => Just(Op::ReadChannels),
        2 => node.clone().prop_map(|node| Op::Disconnect { node }),
        3 => node.clone().prop_map(|node| Op::Reconnect { node }),
        3 => (node.clone(), faults(), any::<u64>())
            .prop_map(|(node, faults, seed)| Op::Faults { node, faults, seed }),
        1 => node.prop_map(|node| Op::Kill { node }),
        1 => Just(Op::Forget),
        14 => advance().prop_map(Op::Advance),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        2 => (0..=100_u8).prop_map(Report::Percent),
        3 => (1..20_u8).prop_map(Report::Count),
        3 => (0..2_u8).prop_map(Report::Stage),
        1 => Just(Report::Message),
        1 => Just(Report::Metadata),
        3 => Just(Report::Line),
        1 => Just(Report::Error),
        3 => Just(Report::Mark),
        1 => (2..16_u8).prop_map(Report::Marks),
        3 => (0..2_u8).prop_map(Report::Gauge),
        1 => Just(Report::Pause),
        1 => Just(Report::Resume),
        1 => Just(Report::Reset),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Complete), Just(End::Fail), Just(End::Drop)]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        3 => (0..=100_u8).prop_map(Said::Percent),
        3 => (0..2_u8).prop_map(Said::Stage),
        3 => Just(Said::Line),
        3 => Just(Said::Mark),
        3 => (0..2_u8).prop_map(Said::Gauge),
        1 => Just(Said::Pause),
        1 => Just(Said::Complete),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let from = prop_oneof![
        2 => Just(From::Nowhere),
        3 => any::<u8>().prop_map(From::Kept),
        1 => (-3..12_i8).prop_map(From::Near),
    ];
    let replay = prop_oneof![
        3 => Just(Replay::All),
        1 => Just(Replay::Latest),
        1 => Just(Replay::None),
    ];
    let lag = prop_oneof![
        2 => Just(OnLag::Conflate),
        1 => Just(OnLag::Gap),
        1 => Just(OnLag::Close),
    ];
    (from, replay, prop::option::of(1..12_u8), lag).prop_map(|(from, replay, buffer, on_lag)| {
        Options {
            from,
            replay,
            buffer,
            on_lag,
        }
    })
}

fn faults() -> impl Strategy<Value = Faults> {
    let none = Faults::none();
    let slow = Duration::from_millis(30);
    prop_oneof![
        Just(none),
        Just(none.drop(0.4)),
        Just(none.duplicate(0.5)),
        Just(none.reorder(0.5).delay(slow)),
        Just(none.delay(Duration::from_millis(700))),
        Just(none.lose_answer(0.3)),
        Just(none.slow_answer(Duration::from_millis(200))),
        Just(
            none.slow_answer(slow)
                .delay(Duration::from_millis(7))
                .drop(0.2)
        ),
        Just(
            none.drop(0.2)
                .duplicate(0.2)
                .reorder(0.3)
                .delay(slow)
                .lose_answer(0.1)
        ),
    ]
}

fn advance() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => Just(0),
        4 => Just(10),
        5 => Just(150),
        2 => Just(1_000),
        1 => Just(3_000),
        1 => Just(12_000),
        1 => Just(40_000),
    ]
    .prop_map(Duration::from_millis)
}
