//! Named threads with one queue, each with something of its own.

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, PoisonError},
    thread,
};

use progress_core::TaskError;
use tokio::sync::oneshot;

use crate::{context::Context, stopwatch::Held, sync::Mutex};

/// What runs on a thread that has an `S` of its own.
type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Threads that end when the last clone is gone and the queue is empty; nobody waits for them.
///
/// The queue holds what callers wait for, at most one job each: who waits no more takes it back.
pub(super) struct Crew<S>(Arc<Handle<S>>);

/// Closes the queue with the last clone.
struct Handle<S>(Arc<Queue<S>>);

struct Queue<S> {
    jobs: Mutex<Jobs<S>>,
    news: Condvar,
}

struct Jobs<S> {
    next_id: u64,
    /// By the order in which they came.
    waiting: BTreeMap<u64, Job<S>>,
    closed: bool,
}

impl<S> Clone for Crew<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Drop for Handle<S> {
    fn drop(&mut self) {
        self.0.jobs.lock().closed = true;
        self.0.news.notify_all();
    }
}

impl<S: Default + 'static> Crew<S> {
    /// Starts threads called `name-0`, `name-1`…
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let queue = Arc::new(Queue {
            jobs: Mutex::new(Jobs {
                next_id: 0,
                waiting: BTreeMap::new(),
                closed: false,
            }),
            news: Condvar::new(),
        });
        // If a thread cannot be had, those that are there end.
        let crew = Self(Arc::new(Handle(Arc::clone(&queue))));
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("{name}-{n}"))
                .spawn(move || work(&queue))?;
        }
        Ok(crew)
    }
}

impl<S: 'static> Crew<S> {
    /// Runs `job` on the next thread that is free, and returns what it does. A panic goes on here.
    ///
    /// # Cancel safety
    ///
    /// A job that has not begun when the future is dropped never does; one that runs, runs on.
    pub(super) async fn run<T, J>(&self, cx: &Context, job: J) -> Result<T, TaskError>
    where
        J: FnOnce(&mut S) -> Result<T, TaskError> + Send + 'static,
        T: Send + 'static,
    {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            cx.ready().await?;
            let (reply, mut result) = oneshot::channel();
            let job = Order {
                job,
                reply,
                waited: cx.hold(),
                cx: cx.clone(),
            };
            let place = self.0.0.push(Box::new(move |own| job.run(own)));
            let ended = tokio::select! {
                biased;
                ended = &mut result => ended,
                () = cx.cancel().cancelled() => {
                    // Not begun, it never is; else it comes to its end.
                    drop(place);
                    result.await
                }
            };
            match ended {
                Ok(Reply::Done(Ok(result))) => return result,
                Ok(Reply::Done(Err(panic))) => resume_unwind(panic),
                Ok(Reply::Paused(job)) => next = Some(job),
                Err(_) => break,
            }
        }
        Err(cx.lost())
    }
}

impl<S> Queue<S> {
    fn push(&self, job: Job<S>) -> Place<'_, S> {
        let id = {
            let mut jobs = self.jobs.lock();
            let id = jobs.next_id;
            jobs.next_id += 1;
            jobs.waiting.insert(id, job);
            id
        };
        self.news.notify_one();
        Place { queue: self, id }
    }

    /// Waits for the next job. None once there will be no more.
    fn next(&self) -> Option<Job<S>> {
        let mut jobs = self.jobs.lock();
        loop {
            if let Some((_, job)) = jobs.waiting.pop_first() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            let woken = self.news.wait(jobs);
            jobs = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A job's place in the queue. Left before its turn it takes the job along, and what that holds.
struct Place<'a, S> {
    queue: &'a Queue<S>,
    id: u64,
}

impl<S> Drop for Place<'_, S> {
    fn drop(&mut self) {
        // A statement of its own: the job is dropped after unlocking.
        let given_up = self.queue.jobs.lock().waiting.remove(&self.id);
        drop(given_up);
    }
}

struct Order<J, T> {
    job: J,
    reply: oneshot::Sender<Reply<J, T>>,
    waited: Held,
    cx: Context,
}

enum Reply<J, T> {
    Done(Result<Result<T, TaskError>, Box<dyn Any + Send>>),
    /// The item was paused when its turn came: it is to come again when it goes on.
    Paused(J),
}

impl<J, T> Order<J, T> {
    fn run<S>(self, own: &mut S)
    where
        J: FnOnce(&mut S) -> Result<T, TaskError>,
    {
        if self.reply.is_closed() || self.cx.is_cancelled() {
            return;
        }
        let job = self.job;
        let Some(_kept) = self.cx.keep_unless_held_up() else {
            let _unwanted = self.reply.send(Reply::Paused(job));
            return;
        };
        drop(self.waited);
        let result = catch_unwind(AssertUnwindSafe(|| job(own)));
        // Nobody may want it any more.
        let _unwanted = self.reply.send(Reply::Done(result));
    }
}

fn work<S: Default>(queue: &Queue<S>) {
    let mut own = S::default();
    while let Some(job) = queue.next() {
        // What a job drops may panic too; the thread goes on.
        drop(catch_unwind(AssertUnwindSafe(|| job(&mut own))));
    }
}
