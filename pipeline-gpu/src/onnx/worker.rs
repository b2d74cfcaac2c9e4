//! The threads that hold the sessions, and the queue that they share.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use ort::session::RunOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    error::OnnxError,
    port::{Inputs, Outputs},
    session::{Session, run_options},
};
use crate::{stopwatch::Held, sync::Mutex};

/// A run that waits for a session, or has one.
pub(super) struct Request {
    pub(super) inputs: Inputs,
    pub(super) call: Arc<Call>,
    pub(super) reply: oneshot::Sender<Result<Outputs, OnnxError>>,
}

/// What is known of a run on both sides of the queue.
pub(super) struct Call {
    options: Arc<RunOptions>,
    begun: AtomicBool,
    /// Until a session takes it, or nobody wants it any more.
    wait: Mutex<Option<Held>>,
}

impl Call {
    /// `wait` is let go of when a session takes it.
    pub(super) fn new(wait: Option<Held>) -> Result<Arc<Self>, OnnxError> {
        Ok(Arc::new(Self {
            options: run_options()?,
            begun: AtomicBool::new(false),
            wait: Mutex::new(wait),
        }))
    }

    /// Stops the run, or makes it stop as soon as it begins.
    pub(super) fn stop(&self) {
        if let Err(error) = self.options.terminate() {
            tracing::warn!(%error, "a run cannot be told to stop");
        }
        drop(self.wait.lock().take());
    }

    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        drop(self.wait.lock().take());
    }

    /// Whether a session has taken it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// Stops a run when it is dropped, unless it was let go: nobody waits for what is left of it.
pub(super) struct StopOnDrop(Option<Arc<Call>>);

impl StopOnDrop {
    pub(super) fn new(call: &Arc<Call>) -> Self {
        Self(Some(Arc::clone(call)))
    }

    pub(super) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(call) = &self.0 {
            call.stop();
        }
    }
}

/// What the workers of a model share.
pub(super) struct Workers {
    /// Who holds the lock takes the next request; the others wait for it.
    requests: Mutex<mpsc::Receiver<Request>>,
    running: AtomicUsize,
}

impl Workers {
    pub(super) fn new(requests: mpsc::Receiver<Request>) -> Arc<Self> {
        Arc::new(Self {
            requests: Mutex::new(requests),
            running: AtomicUsize::new(0),
        })
    }

    /// How many of them are at work.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    fn next(&self) -> Option<Request> {
        self.requests.lock().blocking_recv()
    }
}

/// Starts a worker. It tells `opened` what came of opening its session, which `open` does on the
/// worker's thread, and serves requests until their queue is closed and empty.
pub(super) fn start<T: Send + 'static>(
    name: String,
    workers: Arc<Workers>,
    alive: TaskTrackerToken,
    open: impl FnOnce() -> Result<(Session, T), OnnxError> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, OnnxError>>, OnnxError> {
    let (opened, answer) = oneshot::channel();
    let work = move || {
        // Dropped after the session: whoever closes the model waits for its memory.
        let _alive = alive;
        match open() {
            Ok((session, learned)) => {
                if opened.send(Ok(learned)).is_ok() {
                    serve(session, &workers);
                }
            }
            // If nobody waits any more, nobody wants to know.
            Err(error) => drop(opened.send(Err(error))),
        }
    };
    let started = thread::Builder::new().name(name).spawn(work);
    started.map_err(|error| OnnxError::Thread {
        reason: error.to_string(),
    })?;
    Ok(answer)
}

fn serve(mut session: Session, workers: &Workers) {
    while let Some(request) = workers.next() {
        if request.reply.is_closed() {
            continue;
        }
        request.call.begin();
        workers.running.fetch_add(1, Ordering::Relaxed);
        let result = answered(|| session.run(request.inputs, &request.call.options));
        workers.running.fetch_sub(1, Ordering::Relaxed);
        drop(request.reply.send(result));
    }
}

/// Runs a model, and takes a panic for an error: a session that is gone would leave those who wait for it
/// waiting for ever. Nothing of one run is used by the next.
fn answered(run: impl FnOnce() -> Result<Outputs, OnnxError>) -> Result<Outputs, OnnxError> {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(OnnxError::Thread {
            reason: "the run panicked".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_panics_is_answered() {
        let error = answered(|| panic!("the binding gave up")).unwrap_err();
        assert!(matches!(error, OnnxError::Thread { .. }), "{error}");
    }
}
