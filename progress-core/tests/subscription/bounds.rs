//! What the public types can be used for.

use std::{error::Error, fmt::Debug, future::Future, hash::Hash};

use futures_util::Stream;
use progress_core::{
    EndError, Event, Frame, LookupError, Position, ProgressTracker, PublishError, RemoveError,
    Reporter, Snapshot, StageError, StartError, SubscribeError, SubscribeOptions, Subscription,
    Task, TaskBuilder, TaskError, TaskFilter, TaskId, TrackerBuilder,
    log::{Cursor, Log},
};
use static_assertions::assert_impl_all;

assert_impl_all!(ProgressTracker: Clone, Debug, Default, Send, Sync, Unpin);
assert_impl_all!(TrackerBuilder: Clone, Debug, Send, Sync, Unpin);
assert_impl_all!(Task: Debug, Send, Sync, Unpin);
assert_impl_all!(TaskBuilder: Debug, Send, Sync, Unpin);
assert_impl_all!(Reporter: Clone, Debug, Send, Sync, Unpin);
assert_impl_all!(Subscription: Debug, Send, Sync, Unpin, Stream<Item = Frame>);
assert_impl_all!(SubscribeOptions: Clone, Debug, Default, Eq, Send, Sync, Unpin);
assert_impl_all!(Frame: Clone, Debug, Send, Sync, Unpin);
assert_impl_all!(Event: Clone, Debug, PartialEq, Send, Sync, Unpin);
assert_impl_all!(Snapshot: Clone, Debug, PartialEq, Send, Sync, Unpin);
assert_impl_all!(TaskId: Clone, Debug, Eq, Hash, Ord, Send, Sync, Unpin);
assert_impl_all!(Position: Copy, Debug, Eq, Hash, Send, Sync, Unpin);
assert_impl_all!(Log<u64>: Clone, Debug, Send, Sync, Unpin);
assert_impl_all!(Cursor: Clone, Debug, Eq, Send, Sync, Unpin);
assert_impl_all!(PublishError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(StartError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(StageError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(LookupError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(RemoveError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(SubscribeError: Clone, Eq, Error, Send, Sync);
assert_impl_all!(EndError: Error, Send, Sync);
assert_impl_all!(TaskError: Clone, PartialEq, Error, Send, Sync);

#[test]
fn futures_are_send() {
    fn assert_send(_: impl Future + Send) {}
    let tracker = ProgressTracker::new();
    let mut subscription = tracker.subscribe("t");
    assert_send(subscription.next());
    assert_send(subscription.next_batch(&mut Vec::new()));
    assert_send(tracker.snapshot("t"));
    assert_send(tracker.history("t", None, 1));
    assert_send(tracker.tasks(TaskFilter::new()));
    assert_send(tracker.remove("t"));
}
