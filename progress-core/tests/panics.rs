//! Code of others that panics: no task is left without an end, nobody else is disturbed.

mod common;
#[path = "panics/sources.rs"]
mod sources;

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread,
};

use progress_core::{EventPayload, Frame, ProgressTracker, Subscription, Task, TaskState};
use serde::{Serialize, Serializer};
use tokio_test::{assert_pending, task::spawn};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher::with_default, span};

use crate::common::{Mark, json, marks, ready, to_end, types};

/// Panics while it is encoded.
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not to be spoken of");
    }
}

impl EventPayload for Unspeakable {
    const EVENT_TYPE: &'static str = "unspeakable";
}

/// Panics while its key is asked for.
#[derive(Serialize)]
struct Keyless;

impl EventPayload for Keyless {
    const EVENT_TYPE: &'static str = "keyless";

    fn key(&self) -> Option<Cow<'_, str>> {
        panic!("no key");
    }
}

/// A waker that panics when it wakes, or when it is dropped.
struct Trap {
    on_wake: bool,
    on_drop: AtomicBool,
}

impl Trap {
    fn on_wake() -> Waker {
        Waker::from(Arc::new(Self {
            on_wake: true,
            on_drop: AtomicBool::new(false),
        }))
    }

    fn on_drop() -> Waker {
        Waker::from(Arc::new(Self {
            on_wake: false,
            on_drop: AtomicBool::new(true),
        }))
    }
}

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        assert!(!self.on_wake, "the waker is broken");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        if self.on_drop.swap(false, Ordering::Relaxed) && !thread::panicking() {
            panic!("the waker cannot go");
        }
    }
}

/// A waker that panics when it is cloned.
fn trap_on_clone() -> Waker {
    const TRAP: RawWakerVTable = RawWakerVTable::new(
        |_| panic!("the waker is one of a kind"),
        |_| {},
        |_| {},
        |_| {},
    );
    // SAFETY: no function of the table looks at the data.
    unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TRAP)) }
}

pub(crate) fn panics<T>(what: impl FnOnce() -> T) {
    assert!(
        catch_unwind(AssertUnwindSafe(what)).is_err(),
        "it did not panic"
    );
}

fn poll(subscription: &mut Subscription, waker: &Waker) -> Poll<usize> {
    subscription.poll_batch(&mut Context::from_waker(waker), &mut Vec::<Frame>::new())
}

/// The task takes reports, shows them to others, and comes to its end.
pub(crate) fn assert_sound(tracker: &ProgressTracker, task: Task) {
    let id = task.id().clone();
    let mut other = tracker.subscribe(&id);
    ready(&mut other);
    task.emit(Mark { n: 7 }).unwrap();
    task.stage("after").inc(1);
    assert_eq!(marks(&ready(&mut other)), [7]);
    task.complete(()).unwrap();
    let frames = tokio_test::block_on(to_end(&mut other));
    assert_eq!(types(&frames).last().unwrap(), "complete");
    tokio_test::block_on(tracker.remove(&id)).unwrap();
}

#[test]
fn in_what_is_reported() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    panics(|| task.emit(Unspeakable));
    panics(|| task.emit(Keyless));
    panics(|| task.metadata("a", Unspeakable));
    panics(|| task.try_metadata("a", Unspeakable));
    assert_sound(&tracker, task);
    // It is the end that panics: the task goes with it, and ends.
    let task = tracker.task("t").start().unwrap();
    panics(|| task.complete(Unspeakable));
    let ended = tokio_test::block_on(tracker.snapshot("t")).unwrap();
    assert_eq!(ended.state, TaskState::Abandoned);
    assert_eq!(ended.cause.as_deref(), Some("panicked"));
}

#[test]
fn in_a_worker_with_a_family() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    let worker = thread::spawn(move || {
        let _both = (parent, child);
        panic!("the worker is broken");
    });
    assert!(worker.join().is_err());
    let ended = |id: &str| tokio_test::block_on(tracker.snapshot(id)).unwrap();
    let (parent, child) = (ended("parent"), ended("child"));
    assert_eq!(parent.state, TaskState::Abandoned);
    assert_eq!(parent.cause.as_deref(), Some("panicked"));
    assert_eq!(child.state, TaskState::Cancelled);
    assert_eq!(child.cause.as_deref(), Some("parent_ended"));
    assert_sound(&tracker, tracker.task("t").start().unwrap());
}

#[test]
fn in_a_waker_that_wakes() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let watch = |waker: &Waker| {
        let mut watcher = tracker.subscribe("t");
        ready(&mut watcher);
        assert!(poll(&mut watcher, waker).is_pending());
        watcher
    };
    let mut before = tracker.subscribe("t");
    ready(&mut before);
    let mut before = spawn(async move { before.next().await });
    assert_pending!(before.poll());
    let _broken = [watch(&Trap::on_wake()), watch(&Trap::on_wake())];
    let mut after = tracker.subscribe("t");
    ready(&mut after);
    let mut after = spawn(async move { after.next().await });
    assert_pending!(after.poll());
    // The publisher is not disturbed, and all others are woken.
    task.emit(Mark { n: 1 }).unwrap();
    assert!(before.is_woken() && after.is_woken());

    // Also at the end, at a request to stop, and at the drop of a handle.
    let _broken = watch(&Trap::on_wake());
    let mut waiting = Box::pin(task.cancelled());
    let broken = Trap::on_wake();
    let mut cx = Context::from_waker(&broken);
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    tokio_test::block_on(tracker.cancel("t", None)).unwrap();
    drop(waiting);
    let _broken = watch(&Trap::on_wake());
    assert_sound(&tracker, task);

    let task = tracker.task("t").start().unwrap();
    let _broken = watch(&Trap::on_wake());
    drop(task);
    let ended = tokio_test::block_on(tracker.snapshot("t")).unwrap();
    assert_eq!(ended.cause.as_deref(), Some("dropped"));
}

#[test]
fn in_a_waker_that_waits_for_a_task_to_come() {
    let tracker = ProgressTracker::new();
    let mut broken = tracker.subscribe("t");
    ready(&mut broken);
    assert!(poll(&mut broken, &Trap::on_wake()).is_pending());
    let mut waiting = tracker.subscribe("t");
    ready(&mut waiting);
    let mut waiting = spawn(async move { waiting.next().await });
    assert_pending!(waiting.poll());
    // It is started, has a handle, and whoever else waited is told.
    let task = tracker.task("t").start().unwrap();
    assert!(waiting.is_woken());
    assert_sound(&tracker, task);

    let mut broken = tracker.subscribe("u");
    ready(&mut broken);
    panics(|| poll(&mut broken, &trap_on_clone()));
    assert!(poll(&mut broken, &Trap::on_drop()).is_pending());
    panics(|| poll(&mut broken, Waker::noop()));
    let task = tracker.task("u").start().unwrap();
    assert_eq!(types(&ready(&mut broken)), ["started"]);
    assert_sound(&tracker, task);
}

#[test]
fn in_a_waker_that_is_cloned_or_dropped() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    panics(|| poll(&mut watcher, &trap_on_clone()));
    // The same reader goes on with another waker.
    assert!(poll(&mut watcher, Waker::noop()).is_pending());
    assert!(poll(&mut watcher, &Trap::on_drop()).is_pending());
    // Its place is taken by another: the first one drops.
    panics(|| poll(&mut watcher, Waker::noop()));
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(marks(&ready(&mut watcher)), [1]);
    assert!(poll(&mut watcher, &Trap::on_drop()).is_pending());
    panics(|| drop(watcher));
    assert_sound(&tracker, task);
}

/// A subscriber of `tracing` that panics at every event.
struct Grumpy;

impl Subscriber for Grumpy {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "progress"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        panic!("not that again");
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn in_a_subscriber_of_tracing() {
    with_default(&Dispatch::new(Grumpy), || {
        let tracker = ProgressTracker::new();
        assert_sound(&tracker, tracker.task("t").start().unwrap());
        // A worker that panics beside it does not bring the process down.
        let task = tracker.task("t").start().unwrap();
        panics(|| {
            let _task = task;
            panic!("the worker is broken");
        });
        let frames = ready(&mut tracker.subscribe("t"));
        let end = frames.last().and_then(Frame::event).unwrap();
        let text = end.to_json(end.seq(), 0);
        let end = json(std::str::from_utf8(&text).unwrap());
        assert_eq!(end["data"]["cause"], "panicked");
    });
}
