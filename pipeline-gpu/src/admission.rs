//! Who may use a device, and who is next.

use std::{collections::VecDeque, fmt, sync::Arc};

use progress_core::{Reporter, TaskError};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{context::Context, desk::Keeps, place, sync::Mutex};

/// Admission to a device that does so much at a time: a GPU with room for two runs, a service that
/// takes four requests.
///
/// Who asks first is admitted first, whichever pipeline it belongs to; give clones of one admission to
/// all that use the device. Who waits sees it: the stage's metadata hold `waiting_for` (the device's name)
/// and `position` (from 1; behind the 64th not every change is told), both null once it is admitted or
/// waits no more.
///
/// At most as many wait as the stages that use it work on at a time.
///
/// ```
/// use pipeline_gpu::{Context, Admission, Stage};
/// use progress_core::TaskError;
///
/// let gpu = Admission::new("cuda:0", 1);
/// let detect = (|_cx: Context, n: u32| async move { Ok::<_, TaskError>(n + 1) }).on(&gpu);
/// let matte = (|_cx: Context, n: u32| async move { Ok::<_, TaskError>(n * 2) }).on(&gpu);
/// assert_eq!((gpu.slots(), gpu.waiting()), (1, 0));
/// # fn is_stage(_: impl Stage<u32, u32>) {}
/// # is_stage(detect);
/// # is_stage(matte);
/// ```
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    slots: usize,
    line: Mutex<Line>,
    /// Held while places are told, so that an older one is not told after a newer. Before `line`.
    telling: Mutex<()>,
}

struct Line {
    free: usize,
    next_id: u64,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    id: u64,
    admit: oneshot::Sender<Admitted>,
    reporter: Reporter,
    told: u64,
}

/// Leave to use the device, until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Admission,
    /// By the item that uses it.
    kept: Option<Keeps>,
}

impl Admission {
    /// Admits so many to `name` at a time; at least one.
    #[must_use]
    pub fn new(name: &str, slots: usize) -> Self {
        let slots = slots.max(1);
        Self(Arc::new(Shared {
            name: Arc::from(name),
            slots,
            line: Mutex::new(Line {
                free: slots,
                next_id: 0,
                waiting: VecDeque::new(),
            }),
            telling: Mutex::new(()),
        }))
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns how many it admits at a time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.0.slots
    }

    /// Returns how many wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.line.lock().waiting.len()
    }

    /// Waits until it is this work's turn. Stages have it done by [`Stage::on`](crate::Stage::on).
    ///
    /// An item that is paused is not admitted, and holds up nobody: it asks when it goes on.
    ///
    /// # Errors
    ///
    /// `CANCELLED` once the work is to stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the line.
    pub async fn admit(&self, cx: &Context) -> Result<Admitted, TaskError> {
        loop {
            cx.ready().await?;
            let mut admitted = self.wait(cx).await?;
            if let Some(kept) = cx.keep_unless_held_up() {
                admitted.kept = Some(kept);
                return Ok(admitted);
            }
        }
    }

    async fn wait(&self, cx: &Context) -> Result<Admitted, TaskError> {
        let (id, mut admitted) = {
            let mut line = self.0.line.lock();
            if line.free > 0 {
                line.free -= 1;
                return Ok(Admitted::new(self));
            }
            let id = line.next_id;
            line.next_id += 1;
            let (admit, admitted) = oneshot::channel();
            line.waiting.push_back(Waiter {
                id,
                admit,
                reporter: cx.reporter().clone(),
                told: 0,
            });
            (id, admitted)
        };
        let _held = cx.hold();
        let _place = Place {
            admission: self,
            id,
            reporter: cx.reporter(),
        };
        cx.reporter().metadata("waiting_for", self.name());
        self.tell();
        // The line drops nobody: it is admitted, or its own place was given up.
        cx.or_cancelled(&mut admitted)
            .await?
            .map_err(|_| crate::error::cancelled())
    }

    /// Tells who waits of a place that has changed.
    fn tell(&self) {
        let _telling = self.0.telling.lock();
        let mut news = Vec::new();
        for (place, waiter) in (1..).zip(&mut self.0.line.lock().waiting) {
            if place::is_news(waiter.told, place) {
                waiter.told = place;
                news.push((waiter.reporter.clone(), place));
            }
        }
        for (reporter, place) in news {
            reporter.metadata("position", place);
        }
    }

    fn release(&self) {
        let next = {
            let mut line = self.0.line.lock();
            match line.waiting.pop_front() {
                Some(next) => next,
                None => {
                    line.free += 1;
                    return;
                }
            }
        };
        // One that has gone meanwhile drops it, which releases it again.
        let _gone = next.admit.send(Admitted::new(self));
        self.tell();
    }
}

/// A place in the line, shown until it is left: by being admitted, or given up.
struct Place<'a> {
    admission: &'a Admission,
    id: u64,
    reporter: &'a Reporter,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = {
            let mut line = self.admission.0.line.lock();
            let place = line.waiting.iter().position(|waiter| waiter.id == self.id);
            place.and_then(|place| line.waiting.remove(place))
        };
        {
            // Whoever tells places now was told of this one before it was left.
            let _telling = self.admission.0.telling.lock();
            self.reporter.metadata("waiting_for", Value::Null);
            self.reporter.metadata("position", Value::Null);
        }
        if left.is_some() {
            self.admission.tell();
        }
    }
}

impl Admitted {
    fn new(admission: &Admission) -> Self {
        Self {
            admission: admission.clone(),
            kept: None,
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.release();
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.line.lock();
        f.debug_struct("Admission")
            .field("name", &self.0.name)
            .field("slots", &self.0.slots)
            .field("free", &line.free)
            .field("waiting", &line.waiting.len())
            .finish()
    }
}
