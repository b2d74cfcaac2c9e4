//! What a session waits for besides its logs: permissions and cancellations.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, header, request::Parts};
use progress_core::{Position, Replay, TaskId};
use serde_json::Value;
use tokio::task::yield_now;

use super::{
    source::Opened,
    topic::{Name, TopicKey},
};
use crate::{
    auth::{Action, Credentials, Principal},
    error::{ApiError, Code},
    gateway::{Gateway, WeakGateway},
};

/// Asks on behalf of a session, a few questions at a time and each with the credentials that the
/// session had when it came up.
pub(super) struct Flights {
    gateway: WeakGateway,
    request: Arc<Parts>,
    waiting: VecDeque<(Question, Arc<Parts>)>,
    /// How many may wait before the next look for those that nobody waits for any more.
    look_at: usize,
    running: Vec<Running<Landed>>,
    /// Only the newest credentials count: another question takes its place.
    reviewing: Option<Running<Review>>,
}

type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the present credentials allow.
pub(super) struct Review {
    /// To be here at all.
    pub(super) known: Result<Principal, ApiError>,
    /// To watch what was watched so far.
    pub(super) topics: Vec<(TopicKey, Result<Principal, ApiError>)>,
}

pub(super) enum Question {
    Subscribe {
        topic: TopicKey,
        name: Name,
        after: Option<Position>,
        replay: Replay,
    },
    Cancel {
        task: Name,
        reason: Option<String>,
        request_id: Option<Box<Value>>,
    },
}

/// An answer.
pub(super) enum Landed {
    Subscribed {
        topic: TopicKey,
        opened: Result<Opened, ApiError>,
        /// On whose behalf it was asked.
        request: Arc<Parts>,
    },
    Cancelled {
        task: Name,
        request_id: Option<Box<Value>>,
        result: Result<(), ApiError>,
    },
    Reviewed(Review),
}

impl Flights {
    pub(super) fn new(gateway: WeakGateway, request: Parts) -> Self {
        Self {
            gateway,
            request: Arc::new(request),
            waiting: VecDeque::new(),
            look_at: FEW,
            running: Vec::new(),
            reviewing: None,
        }
    }

    /// Asks, when it is its turn; what waits and nobody `expects` any more is forgotten.
    pub(super) fn ask(&mut self, question: Question, expects: impl Fn(TopicKey) -> bool) {
        if self.waiting.len() >= self.look_at {
            self.waiting.retain(|(question, _)| match question {
                Question::Subscribe { topic, .. } => expects(*topic),
                Question::Cancel { .. } => true,
            });
            self.look_at = (self.waiting.len() * 2).max(FEW);
        }
        self.waiting
            .push_back((question, Arc::clone(&self.request)));
    }

    /// Uses other credentials from now on.
    pub(super) fn replace_credentials(&mut self, authorization: HeaderValue) {
        let mut request = (*self.request).clone();
        request.headers.insert(header::AUTHORIZATION, authorization);
        // A grant or a ticket too was of whom it is no longer.
        request.extensions.insert(Arc::new(Credentials::default()));
        self.request = Arc::new(request);
    }

    /// Asks with the present credentials whether the client may be here, and still watch these topics.
    pub(super) fn review(&mut self, topics: Vec<(TopicKey, Name)>) {
        let (gateway, request) = (self.gateway.clone(), Arc::clone(&self.request));
        self.reviewing = Some(Box::pin(async move {
            let known = match gateway.upgrade() {
                Some(gateway) => gateway.known(&request).await,
                None => Err(going_down()),
            };
            let mut review = Vec::with_capacity(topics.len());
            for (count, (topic, name)) in topics.into_iter().enumerate() {
                if count % AT_ONCE == AT_ONCE - 1 {
                    // An authorizer that never waits is not to keep others waiting.
                    yield_now().await;
                }
                let principal = match gateway.upgrade() {
                    Some(gateway) => gateway.watcher(&request, &name).await,
                    None => Err(going_down()),
                };
                review.push((topic, principal.map(|(principal, _)| principal)));
            }
            Review {
                known,
                topics: review,
            }
        }));
    }

    /// Whether the credentials are still those.
    pub(super) fn is_current(&self, request: &Arc<Parts>) -> bool {
        Arc::ptr_eq(&self.request, request)
    }

    /// Polls for the next answer.
    pub(super) fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<Landed> {
        if let Some(review) = &mut self.reviewing
            && let Poll::Ready(review) = review.as_mut().poll(cx)
        {
            self.reviewing = None;
            return Poll::Ready(Landed::Reviewed(review));
        }
        loop {
            for index in 0..self.running.len() {
                if let Poll::Ready(landed) = self.running[index].as_mut().poll(cx) {
                    drop(self.running.swap_remove(index));
                    return Poll::Ready(landed);
                }
            }
            if self.running.len() >= AT_A_TIME {
                return Poll::Pending;
            }
            let Some((question, request)) = self.waiting.pop_front() else {
                return Poll::Pending;
            };
            let asked = self.start(question, request);
            self.running.push(asked);
        }
    }

    fn start(&self, question: Question, request: Arc<Parts>) -> Running<Landed> {
        let gateway = self.gateway.clone();
        Box::pin(async move {
            let gateway = gateway.upgrade().ok_or_else(going_down);
            match question {
                Question::Subscribe {
                    topic,
                    name,
                    after,
                    replay,
                } => Landed::Subscribed {
                    topic,
                    opened: match gateway {
                        Ok(gateway) => gateway.open_topic(&request, &name, after, replay).await,
                        Err(error) => Err(error),
                    },
                    request,
                },
                Question::Cancel {
                    task,
                    reason,
                    request_id,
                } => Landed::Cancelled {
                    result: match gateway {
                        Ok(gateway) => cancel(&gateway, &request, &task, reason.as_deref()).await,
                        Err(error) => Err(error),
                    },
                    task,
                    request_id,
                },
            }
        })
    }
}

async fn cancel(
    gateway: &Gateway,
    request: &Parts,
    task: &Name,
    reason: Option<&str>,
) -> Result<(), ApiError> {
    let (Name::Task(id) | Name::Channel(id)) = task;
    let id: TaskId = id.parse()?;
    gateway.allowed(request, Action::Cancel(id.clone())).await?;
    Ok(gateway.tracker().cancel(id, reason).await?)
}

fn going_down() -> ApiError {
    ApiError::new(Code::Draining, "the server is going down")
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("waiting", &self.waiting.len())
            .field("running", &self.running.len())
            .field("reviewing", &self.reviewing.is_some())
            .finish_non_exhaustive()
    }
}

/// Questions that wait before it is looked for whom.
const FEW: usize = 128;
/// Questions that one connection has under way at a time; more wait, at most twice as many as it has
/// topics and cancellations.
const AT_A_TIME: usize = 8;
/// Topics that are asked about before others have their turn.
const AT_ONCE: usize = 16;
