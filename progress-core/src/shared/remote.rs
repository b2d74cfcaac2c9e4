//! Tasks without an owner whose events the broker numbers.
//!
//! A publication reads what the broker holds beyond this node's mirror, authors against that, and
//! submits: one after the other, publishers on different nodes see what was published before.
//! Implied events carry ids of their own, so that nodes that imply the same at the same time say
//! it once.

use std::{sync::Arc, time::Duration};

use crate::{
    background::spawn,
    channel::ChannelName,
    error::{CancelError, LookupError, PublishError, StartError},
    event::{Data, Event, Note, ProgressUpdate, Queued},
    id::TaskId,
    link::Link,
    position::{Epoch, Position, Seq},
    shared::{
        author::{Authored, Present, author},
        handle::SharedTask,
        input::EventInput,
        publish::Published,
        said::Said,
        start::SharePlan,
    },
    snapshot::Fold,
    task::{TaskShared, update_of},
    time::Timestamp,
    tracker::TrackerShared,
    transport::{
        AppendError, Claim, ClaimError, Draft, Owner, Page, Record, Request, Topic, TransportError,
    },
};

/// Claims a task and publishes its first event.
pub(super) async fn open(plan: SharePlan, link: &Arc<Link>) -> Result<SharedTask, StartError> {
    let SharePlan {
        tracker,
        id,
        mut about,
        channels,
        queued,
        silence,
    } = plan;
    if tracker.is_draining() {
        return Err(StartError::Draining);
    }
    if tracker.find(&id).is_some_and(|task| !task.is_mirror()) {
        return Err(StartError::AlreadyExists(id));
    }
    link.ensure_running(&tracker);
    let proposed = tracker.next_epoch();
    let claim = Claim::Shared {
        channels: channels.clone(),
        silence: silence.or(tracker.shared_silence),
        restart: false,
    };
    // Accepted also while another shared run is live, which is then the one answered. Two nodes may
    // have proposed the same in the same millisecond: one of them gets it.
    let claimed = claimed(link, &id, proposed, &claim).await?;
    let key = format!("share {id} {claimed}");
    if claimed != proposed
        || !link
            .transport
            .once(&key, CLAIMED_FOR)
            .await
            .map_err(StartError::Unavailable)?
    {
        return Err(StartError::AlreadyExists(id));
    }
    let topic = Topic::Task(id.clone());
    let watch = link.watch(topic.clone());
    let now = tracker.now();
    let data = if queued {
        Data::Queued(Queued {
            position: None,
            about: Some(Box::new(about)),
        })
    } else {
        about.started_at = now;
        Data::Started(Arc::new(about))
    };
    let draft = Draft::new(data.clone(), now).id(implied(proposed, &data));
    let first = submitted(link, &topic, draft)
        .await
        .map_err(|error| match error {
            AppendError::Unavailable(error) => StartError::Unavailable(error),
            error => StartError::Unavailable(TransportError::new(error)),
        })?;
    copied(link, id.clone(), vec![first], channels).await;
    Ok(SharedTask::away(tracker, id, first, watch))
}

/// Publishes to a task that this node does not number.
pub(super) async fn publish(
    tracker: &Arc<TrackerShared>,
    link: &Arc<Link>,
    id: &TaskId,
    run: Option<Epoch>,
    events: Vec<EventInput>,
) -> Result<Published, PublishError> {
    link.ensure_running(tracker);
    let topic = Topic::Task(id.clone());
    // Kept some seconds longer, for what is published next.
    let _watch = link.watch(topic.clone());
    let mut base = Base::read(tracker, link, id, run).await?;
    let mut published = Published::none();
    let mut positions = Vec::new();
    let mut index = 0;
    let mut away = None;
    for chunk in events.chunks(EVENTS_AT_ONCE) {
        let mut drafts = Vec::new();
        // Where the drafts of each event end.
        let mut ends = Vec::with_capacity(chunk.len());
        for event in chunk {
            let authored = Said::read(event, &tracker.limits)
                .and_then(|said| base.author(said, event.id.as_deref(), tracker));
            ends.push(authored.map(|authored| {
                drafts.extend(authored);
                drafts.len()
            }));
        }
        let answers = match &away {
            // What comes after what was lost is not to come before it.
            Some(error) => drafts.iter().map(|_| Err(Clone::clone(error))).collect(),
            None if drafts.is_empty() => Vec::new(),
            None => link.transport.submit(&topic, drafts).await,
        };
        away = answers.iter().find_map(|answer| match answer {
            Err(error @ AppendError::Unavailable(_)) => Some(error.clone()),
            _ => None,
        });
        positions.extend(answers.iter().flatten().copied());
        for end in ends {
            let position = end.and_then(|end| match answers.get(end - 1) {
                Some(answer) => answer.clone().map_err(PublishError::from),
                None => Err(PublishError::Unavailable(TransportError::new(
                    "the broker has not answered",
                ))),
            });
            published.note(index, position);
            index += 1;
        }
    }
    published.cancel_requested = base.cancel_requested;
    copied(link, id.clone(), positions, base.channels).await;
    published.or_whole()
}

/// Asks a task to stop that this node does not number.
pub(crate) async fn cancel(
    tracker: &Arc<TrackerShared>,
    task: &TaskShared,
    note: Note,
) -> Result<(), CancelError> {
    // Stored first: who publishes next is told of it, whatever comes of the event.
    tracker.ask_owner(task, note.reason.clone()).await?;
    let Some(link) = &tracker.link else {
        return Ok(());
    };
    let topic = Topic::Task(task.id.clone());
    let unavailable = |error| CancelError::Lookup(LookupError::Unavailable(error));
    let page = link.transport.read(&topic, task.received()).await;
    let Some(page) = page.map_err(unavailable)? else {
        return Ok(());
    };
    if page.owner != Owner::Shared {
        // Its owner is told, and publishes it.
        return Ok(());
    }
    let data = Data::CancelRequested(note);
    let id = implied(page.epoch, &data);
    let draft = Draft::new(data, tracker.now()).id(id);
    match submitted(link, &topic, draft).await {
        Ok(position) => {
            copied(link, task.id.clone(), vec![position], page.channels).await;
            Ok(())
        }
        Err(AppendError::AlreadyComplete) => Err(CancelError::AlreadyComplete(task.id.clone())),
        Err(AppendError::Unavailable(error)) => Err(unavailable(error)),
        Err(error) => {
            // It was asked for all the same.
            tracing::debug!(task = %task.id, %error, "cancel_requested not published");
            Ok(())
        }
    }
}

/// The task as the broker held it when a publication began, and what was authored since.
struct Base {
    id: TaskId,
    fold: Fold,
    /// The newest event of the task's own key.
    own: Option<Arc<Event>>,
    channels: Vec<ChannelName>,
    cancel_requested: Option<Note>,
}

impl Base {
    async fn read(
        tracker: &Arc<TrackerShared>,
        link: &Arc<Link>,
        id: &TaskId,
        run: Option<Epoch>,
    ) -> Result<Self, PublishError> {
        let mirror = tracker.find(id).filter(|task| task.is_mirror());
        let after = mirror.as_ref().and_then(|mirror| mirror.received());
        let topic = Topic::Task(id.clone());
        let page = link.transport.read(&topic, after).await;
        let page = page
            .map_err(PublishError::Unavailable)?
            .ok_or(PublishError::NotFound)?;
        if run.is_some_and(|run| run != page.epoch) {
            return Err(PublishError::Superseded);
        }
        let (fold, own) = match mirror.filter(|mirror| mirror.epoch == page.epoch) {
            Some(mirror) => {
                if !mirror.merge(&page, after) {
                    return Err(PublishError::Unavailable(TransportError::new(
                        "the task has changed meanwhile",
                    )));
                }
                let mut inner = mirror.inner.lock();
                (inner.full_fold().clone(), inner.own_update())
            }
            // Then it holds all that is kept.
            None => folded(id, &page),
        };
        let snapshot = fold.snapshot();
        if page.owner != Owner::Shared {
            return Err(match snapshot.state.is_ended() {
                true => PublishError::AlreadyComplete,
                false => PublishError::Owned,
            });
        }
        let asked = snapshot.cancel_requested.then(Note::default);
        Ok(Self {
            id: id.clone(),
            cancel_requested: match page.request {
                Some(Request::Cancel { reason }) => Some(Note { reason }),
                None => asked,
            },
            channels: page.channels,
            fold,
            own,
        })
    }

    fn epoch(&self) -> Epoch {
        self.fold.snapshot().epoch
    }

    /// The drafts of an event, its own the last.
    fn author(
        &mut self,
        said: Said,
        id: Option<&str>,
        tracker: &TrackerShared,
    ) -> Result<Vec<Draft>, PublishError> {
        let snapshot = self.fold.snapshot();
        let now = tracker.now().max(snapshot.updated_at);
        let present = Present {
            fold: &self.fold,
            own: self.own.as_deref().and_then(update_of),
            elapsed_ms: snapshot.elapsed_at(now),
            now,
            limits: &tracker.limits,
        };
        let Authored { before, main } = author(said, &present)?;
        let head = snapshot.seq;
        let mut drafts = Vec::with_capacity(before.len() + 1);
        for data in before {
            let draft = Draft::new(data.clone(), now);
            drafts.push(match (&data, id) {
                (Data::ProgressUpdate(update), Some(id)) => draft.id(beside(id, update)),
                (Data::ProgressUpdate(_), None) => draft,
                // Each time it stalls, it recovers once.
                (Data::Recovered(_), _) => {
                    draft.id(format!("{} {head}", implied(self.epoch(), &data)))
                }
                _ => draft.id(implied(self.epoch(), &data)),
            });
            self.apply(data, now);
        }
        let draft = Draft::new(main.clone(), now);
        drafts.push(match id {
            Some(id) => draft.id(given(id)),
            None => draft,
        });
        self.apply(main, now);
        Ok(drafts)
    }

    /// Takes what was authored for published: the next event is authored against it.
    fn apply(&mut self, data: Data, now: Timestamp) {
        let snapshot = self.fold.snapshot();
        let next = Seq::new(snapshot.seq.get() + 1);
        let position = Position::new(snapshot.epoch, next);
        let event = Event::numbered(self.id.clone(), position, Seq::ZERO, now, data);
        let event = Arc::new(event);
        self.fold.apply(&event);
        if update_of(&event).is_some_and(|update| update.stage.is_none()) {
            self.own = Some(event);
        }
    }
}

fn folded(id: &TaskId, page: &Page) -> (Fold, Option<Arc<Event>>) {
    let events = page.records.iter().filter_map(|record| match record {
        Record::Task(event) => Some(event),
        Record::Channel(_) => None,
    });
    let mut fold = Fold::new(id.clone(), page.epoch, Timestamp::default());
    let mut own = None;
    for event in page.ended_run.iter().chain(events) {
        fold.apply(event);
        if update_of(event).is_some_and(|update| update.stage.is_none()) {
            own = Some(Arc::clone(event));
        }
    }
    (fold, own)
}

/// The id of an event that the run implies once, whoever says so. A publisher's own
/// [begin otherwise](given).
fn implied(epoch: Epoch, data: &Data) -> String {
    match data {
        Data::StageChange(change) => format!("{epoch} stage_change {}", change.current_stage),
        data => format!("{epoch} {}", data.event_type()),
    }
}

fn given(id: &str) -> String {
    format!("={id}")
}

/// The id of a stage's update that a publisher's event implies.
fn beside(id: &str, update: &ProgressUpdate) -> String {
    let stage = update.stage.as_deref().unwrap_or_default();
    format!("={id} {stage}")
}

/// Claims; again if the answer may have been lost, under the same generation.
async fn claimed(
    link: &Link,
    id: &TaskId,
    proposed: Epoch,
    claim: &Claim,
) -> Result<Epoch, StartError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match link.transport.claim(id, proposed, claim.clone()).await {
            Ok(epoch) => return Ok(epoch),
            Err(ClaimError::Unavailable(_)) if left > 0 => {}
            Err(ClaimError::Unavailable(error)) => return Err(StartError::Unavailable(error)),
            Err(
                ClaimError::AlreadyExists { .. }
                | ClaimError::Superseded { .. }
                | ClaimError::Removed { .. },
            ) => {
                return Err(StartError::AlreadyExists(id.clone()));
            }
        }
    }
}

/// Submits one draft that has an id; again if the answer may have been lost.
async fn submitted(link: &Link, topic: &Topic, draft: Draft) -> Result<Position, AppendError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        let answers = link.transport.submit(topic, vec![draft.clone()]).await;
        match answers.into_iter().next() {
            Some(Err(AppendError::Unavailable(_))) if left > 0 => {}
            Some(answer) => return answer,
            None => return Err(TransportError::new("the broker has not answered").into()),
        }
    }
}

/// Has what was published copied into the channels of its task. It goes on if nobody waits for it;
/// who waits for it publishes in order.
async fn copied(
    link: &Arc<Link>,
    id: TaskId,
    positions: Vec<Position>,
    channels: Vec<ChannelName>,
) {
    let link = Arc::clone(link);
    let copying = spawn("progress-copy", async move {
        link.copy_submitted(&id, &positions, &channels).await;
    });
    if let Some(copying) = copying {
        let _over = copying.await;
    }
}

/// Events that go to the broker together.
const EVENTS_AT_ONCE: usize = 256;
/// How often a call is made whose answer is lost.
const TRIES: u32 = 3;
/// Longer than two nodes can be apart that make the same claim.
const CLAIMED_FOR: Duration = Duration::from_secs(600);
