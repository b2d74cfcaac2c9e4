//! What is iterated, streamed or read panics while it reports itself.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, Stream, StreamExt};
use progress_core::{ProgressTracker, Reporter, StageState, TaskState, Track};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::{
    assert_sound,
    common::{to_end, types, updates},
    panics,
};

/// A source that panics the third time it is asked, gives once more after that, and is at its end.
#[derive(Default)]
struct Faulty {
    asked: usize,
}

impl Faulty {
    fn give(&mut self) -> Option<u8> {
        self.asked += 1;
        assert_ne!(self.asked, 3, "the source is broken");
        (self.asked < 5).then_some(7)
    }
}

impl Iterator for Faulty {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.give()
    }
}

impl Stream for Faulty {
    type Item = u8;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
        Poll::Ready(self.give())
    }
}

impl Read for Faulty {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self
            .give()
            .into_iter()
            .zip(buf)
            .map(|(it, to)| *to = it)
            .count())
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(self.give().as_slice());
        Poll::Ready(Ok(()))
    }
}

/// The next of a source that is tracked.
type Next = Box<dyn FnMut() -> Option<u8> + Send>;

/// A faulty source for each way to be tracked.
fn faulty_sources(report: &Reporter) -> [(&'static str, Next); 4] {
    let mut items = Faulty::default().track(report);
    let mut stream = Faulty::default().track(report);
    let mut reader = Faulty::default().track(report);
    let mut async_reader = Faulty::default().track(report);
    let byte = |read: usize, byte: [u8; 1]| (read > 0).then_some(byte[0]);
    [
        ("iterator", Box::new(move || Iterator::next(&mut items))),
        (
            "stream",
            Box::new(move || StreamExt::next(&mut stream).now_or_never().unwrap()),
        ),
        (
            "reader",
            Box::new(move || {
                let mut buf = [0];
                let read = Read::read(&mut reader, &mut buf).unwrap();
                byte(read, buf)
            }),
        ),
        (
            "async reader",
            Box::new(move || {
                let mut buf = [0];
                let read = AsyncReadExt::read(&mut async_reader, &mut buf);
                byte(read.now_or_never().unwrap().unwrap(), buf)
            }),
        ),
    ]
}

#[test]
fn in_a_source_that_unwinds_the_worker() {
    for way in 0..4 {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        let beside = tracker.task("beside").start().unwrap();
        let mut watcher = tracker.subscribe("t");
        let (name, mut next) = faulty_sources(&task.stage("s"))
            .into_iter()
            .nth(way)
            .unwrap();
        let joined = tokio_test::block_on(async {
            let work = async move {
                while next().is_some() {}
                task.complete(())
            };
            tokio::spawn(work).await
        });
        assert!(joined.unwrap_err().is_panic(), "{name}");

        let frames = tokio_test::block_on(to_end(&mut watcher));
        assert_eq!(types(&frames).last().unwrap(), "complete", "{name}");
        let ended = tokio_test::block_on(tracker.snapshot("t")).unwrap();
        assert_eq!(ended.state, TaskState::Abandoned, "{name}");
        assert_eq!(ended.cause.as_deref(), Some("panicked"), "{name}");
        let stage = ended.stage("s").unwrap();
        assert_eq!(stage.state, StageState::Abandoned, "{name}");
        assert_eq!(stage.current, Some(2), "{name}");
        assert_sound(&tracker, beside);
    }
}

#[test]
fn in_a_source_whose_user_goes_on() {
    for way in 0..4 {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        let (name, mut next) = faulty_sources(&task.stage("s"))
            .into_iter()
            .nth(way)
            .unwrap();
        assert_eq!((next(), next()), (Some(7), Some(7)), "{name}");
        panics(&mut next);
        // Neither the task nor the adapter has noticed.
        assert_eq!(task.snapshot().state, TaskState::Running, "{name}");
        assert_eq!((next(), next()), (Some(7), None), "{name}");
        let mut watcher = tracker.subscribe("t");
        assert_sound(&tracker, task);
        let seen = updates(&tokio_test::block_on(to_end(&mut watcher)));
        let of_stage = seen
            .iter()
            .rfind(|update| update.stage.as_deref() == Some("s"));
        assert_eq!(of_stage.unwrap().current, Some(3), "{name}");
    }
}

/// Panics while it is asked how much there is.
struct Boundless;

impl Iterator for Boundless {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        Some(7)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        panic!("who knows");
    }
}

impl Stream for Boundless {
    type Item = u8;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
        Poll::Ready(Some(7))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        panic!("who knows");
    }
}

#[test]
fn in_a_source_that_is_asked_for_its_length() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut items = Boundless.track(&task.stage("items"));
    panics(|| Iterator::next(&mut items));
    assert_eq!(Iterator::next(&mut items), Some(7));
    let mut stream = Boundless.track(&task.stage("stream"));
    panics(|| StreamExt::next(&mut stream).now_or_never());
    let item = StreamExt::next(&mut stream).now_or_never();
    assert_eq!(item, Some(Some(7)));
    for stage in &task.snapshot().stages {
        assert_eq!((stage.current, stage.total), (Some(1), None));
    }
    assert_eq!(task.snapshot().stages.len(), 2);
    assert_sound(&tracker, task);
}
