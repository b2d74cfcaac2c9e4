//! Where a reader begins.

use crate::{
    log::{Cursor, Item, Log, OnLag, Start},
    position::{Epoch, Position, Seq},
    subscription::{Replay, Resume, SubscribeOptions},
};

/// Decided in the order of the protocol: reset, ended, gap, resumed, fresh.
pub(super) fn verdict<T: Item>(epoch: Epoch, log: &Log<T>, options: &SubscribeOptions) -> Resume {
    match options.after {
        Some(after) if after.epoch() != epoch => Resume::Reset,
        Some(after) if log.is_ended() && after.seq() >= log.head() => Resume::Ended,
        Some(after) if after.seq() < log.floor() || after.seq() > log.head() => Resume::Gap,
        Some(_) => Resume::Resumed,
        None if options.replay == Replay::All && log.floor() > Seq::ZERO => Resume::Gap,
        None => Resume::Fresh,
    }
}

/// The cursor, and up to where the reader's position is ahead of the log.
pub(super) fn cursor<T: Item>(
    log: &Log<T>,
    options: &SubscribeOptions,
    resume: Resume,
) -> (Cursor, Option<Seq>) {
    let after = options.after.filter(|_| resume != Resume::Reset);
    let start = match (after, options.replay) {
        (Some(after), _) => Start::After(after.seq()),
        (None, Replay::All) => Start::Beginning,
        (None, Replay::Latest) => Start::Latest,
        (None, Replay::None) => Start::Head,
    };
    let mut cursor = Cursor::new(log, start);
    let buffer = match (options.buffer, options.on_lag) {
        (Some(buffer), _) => buffer as u64,
        // What left the window is conflated anyhow, and nothing else needs to be.
        (None, OnLag::Conflate) => u64::MAX,
        (None, OnLag::Gap | OnLag::Close) => log.limits().window_len() as u64,
    };
    cursor = cursor.buffer(buffer, options.on_lag);
    let ahead = after
        .map(Position::seq)
        .filter(|seq| resume != Resume::Ended && *seq > log.head());
    (cursor, ahead)
}
