//! Progress of what is iterated, streamed, read or written anyway.

mod async_io;
mod items;
mod sync_io;

use std::fmt;

use pin_project_lite::pin_project;

use crate::task::Reporter;

/// Reports the progress of an iterator, a stream, a reader or a writer while it is used.
///
/// Implemented for everything: what is counted depends on what the wrapped value is.
///
/// ```
/// use progress_core::{ProgressTracker, Track};
///
/// let tracker = ProgressTracker::new();
/// let task = tracker.task("import-7").stage("parse", 1.0).start()?;
/// let lines = ["1", "2", "3"];
/// // Behind the step that does the work, so that a line counts when it has been parsed.
/// let numbers: Result<Vec<u64>, _> = lines
///     .iter()
///     .map(|line| line.parse::<u64>())
///     .track(&task.stage("parse").unit("lines"))
///     .collect();
/// assert_eq!(numbers?, [1, 2, 3]);
///
/// task.complete(())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Track {
    /// Wraps the value; see [`Tracked`] for what is counted and when.
    fn track(self, reporter: &Reporter) -> Tracked<Self>
    where
        Self: Sized;
}

impl<T> Track for T {
    fn track(self, reporter: &Reporter) -> Tracked<Self> {
        Tracked {
            inner: self,
            meter: Meter {
                reporter: reporter.clone(),
                begun: false,
                seeking: false,
            },
        }
    }
}

pin_project! {
    /// An iterator, stream, reader or writer whose use is reported; made by [`Track::track`].
    ///
    /// It costs one [`Reporter::inc`] for each item or operation.
    ///
    /// - An [`Iterator`] or [`Stream`](futures_core::Stream) counts the items it hands out. If its
    ///   `size_hint` is exact, the number of its items becomes the total, unless one is set: then
    ///   they come on top of what has been counted already.
    /// - [`Read`](std::io::Read), [`BufRead`](std::io::BufRead), [`Write`](std::io::Write) and
    ///   their likes in tokio count bytes as they are read, consumed or accepted, in the unit
    ///   `bytes` unless one is set. How many there will be only the caller knows:
    ///   [`Reporter::total`].
    /// - A seek sets the count to the new position, which is the position from then on.
    ///
    /// Nothing is reported before it is used; the first use is a sign of life, also of an iterator
    /// that turns out to be empty. Errors pass through and count nothing, and it ends nothing: a
    /// stage is done when its count reaches its total, or when it says so.
    ///
    /// ```
    /// use progress_core::{ProgressTracker, Track};
    ///
    /// let tracker = ProgressTracker::new();
    /// let task = tracker.task("copy").start()?;
    /// let source = [7_u8; 1_000];
    /// let stage = task.stage("copy").total(source.len() as u64);
    /// let mut sink = Vec::new();
    /// std::io::copy(&mut source.as_slice().track(&stage), &mut sink)?;
    ///
    /// assert_eq!(task.snapshot().stages[0].unit.as_deref(), Some("bytes"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Tracked<T> {
        #[pin]
        inner: T,
        meter: Meter,
    }
}

impl<T> Tracked<T> {
    /// Returns the wrapped value; what is done to it directly is not reported.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns the wrapped value; what is done to it directly is not reported.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Unwraps the value, which is no longer reported.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: fmt::Debug> fmt::Debug for Tracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked")
            .field("inner", &self.inner)
            .field("reporter", &self.meter.reporter)
            .finish_non_exhaustive()
    }
}

/// What is reported, apart from what is used.
struct Meter {
    reporter: Reporter,
    begun: bool,
    /// A seek is under way: what tokio's `poll_complete` returns is its outcome.
    seeking: bool,
}

impl Meter {
    /// Call it before each use, so that a sign of life precedes the work.
    #[inline]
    fn begin_items(&mut self, size_hint: impl FnOnce() -> (usize, Option<usize>)) {
        if !self.begun {
            self.begun = true;
            let (least, most) = size_hint();
            let exact = (most == Some(least)).then_some(least as u64);
            self.reporter.expect(exact, None);
        }
    }

    #[inline]
    fn begin_bytes(&mut self) {
        if !self.begun {
            self.begun = true;
            self.reporter.expect(None, Some("bytes"));
        }
    }

    #[inline]
    fn add(&self, units: usize) {
        self.reporter.inc(units as u64);
    }

    fn move_to(&self, position: u64) {
        self.reporter.set(position);
    }
}
