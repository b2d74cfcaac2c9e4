//! Named threads with one queue, each with something of its own.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc},
    thread,
};

use progress_core::TaskError;
use tokio::sync::oneshot;

use crate::{context::Context, stopwatch::Held, sync::Mutex};

/// What runs on a thread that has an `S` of its own.
type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Threads that end when the last clone is gone and the queue is empty; nobody waits for them.
///
/// The queue holds what callers wait for, at most one job each.
#[derive(Debug)]
pub(super) struct Crew<S>(mpsc::Sender<Job<S>>);

impl<S> Clone for Crew<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Default + 'static> Crew<S> {
    /// Starts threads called `name-0`, `name-1`…
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("{name}-{n}"))
                .spawn(move || work(&jobs))?;
        }
        Ok(Self(queue))
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
            let (reply, result) = oneshot::channel();
            let job = Order {
                job,
                reply,
                waited: cx.hold(),
                cx: cx.clone(),
            };
            // It fails if all threads are gone, which they are not while this is here.
            let _sent = self.0.send(Box::new(move |own| job.run(own)));
            match result.await {
                Ok(Reply::Done(Ok(result))) => return result,
                Ok(Reply::Done(Err(panic))) => resume_unwind(panic),
                Ok(Reply::Paused(job)) => next = Some(job),
                Err(_) => break,
            }
        }
        Err(cx.lost())
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
        if self.cx.is_paused() {
            let _unwanted = self.reply.send(Reply::Paused(job));
            return;
        }
        drop(self.waited);
        let _kept = self.cx.keep();
        let result = catch_unwind(AssertUnwindSafe(|| job(own)));
        // Nobody may want it any more.
        let _unwanted = self.reply.send(Reply::Done(result));
    }
}

fn work<S: Default>(jobs: &Mutex<mpsc::Receiver<Job<S>>>) {
    let mut own = S::default();
    loop {
        // One waits with the lock, the others for the lock.
        let job = jobs.lock().recv();
        match job {
            // What a job drops may panic too; the thread goes on.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(|| job(&mut own)))),
            Err(_) => return,
        }
    }
}
