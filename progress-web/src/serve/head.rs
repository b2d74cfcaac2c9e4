//! How long a request may take to say what it is.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

/// Whether the head of a request is under way on a connection.
///
/// hyper bounds the time from one answer to the next request's head as a whole: a connection that may
/// be idle for a minute could then take a minute over a head. Bytes that arrive, requests that begin
/// and answers that end tell the two apart.
#[derive(Debug)]
pub(super) struct Head(Mutex<Phase>);

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A head is to be complete soon.
    UnderWay { since: Instant },
    /// It was, and its request is not answered yet.
    Complete,
    /// Nothing has come since the answer.
    Idle,
}

impl Head {
    /// The first one of a connection, which is due from the start.
    pub(super) fn first() -> Self {
        let since = Instant::now();
        Self(Mutex::new(Phase::UnderWay { since }))
    }

    /// Something has arrived.
    pub(super) fn on_bytes(&self) {
        let mut phase = self.phase();
        if let Phase::Idle = *phase {
            let since = Instant::now();
            *phase = Phase::UnderWay { since };
        }
    }

    /// A request has begun. What is left of its answer when that is dropped ends it.
    pub(super) fn on_request(self: &Arc<Self>) -> Answering {
        *self.phase() = Phase::Complete;
        Answering(Arc::clone(self))
    }

    /// Waits until a head has taken longer than it may. To be polled by the task that carries the
    /// connection, after that: what changes the phase has woken it, so nothing else needs to.
    pub(super) async fn overdue(&self, patience: Duration) {
        let mut sleep = pin!(sleep_until(Instant::now() + patience));
        poll_fn(|cx| {
            let Phase::UnderWay { since } = *self.phase() else {
                return Poll::Pending;
            };
            let due = since + patience;
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    /// Waits until nothing has come since an answer. To be polled as [`overdue`](Self::overdue).
    pub(super) async fn idle(&self) {
        poll_fn(|_| match *self.phase() {
            Phase::Idle => Poll::Ready(()),
            Phase::UnderWay { .. } | Phase::Complete => Poll::Pending,
        })
        .await;
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Head>);

impl Drop for Answering {
    fn drop(&mut self) {
        *self.0.phase() = Phase::Idle;
    }
}

pin_project! {
    /// The body of an answer, which ends its request when it is dropped.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        answering: Answering,
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, answering: Answering) -> Self {
        Self { body, answering }
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
