//! The tasks of dead nodes, and what nobody watches any more.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::{
    event::{Complete, Data, Event, Note, Status, TaskState},
    id::TaskId,
    link::Link,
    position::{Epoch, Position, Seq},
    snapshot::Snapshot,
    tracker::TrackerShared,
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, ExpiredCause, Topic, TransportError,
    },
};

/// An end that this node has claimed, or may have, and not yet told.
#[derive(Debug)]
struct Ending {
    task: TaskId,
    /// The run to end, and the number of the run that is to hold the end.
    of: Epoch,
    proposed: Epoch,
    /// That run, once the claim was answered.
    claimed: Option<Epoch>,
}

impl Link {
    /// Tidies up, as long as the link is open.
    pub(super) async fn tidy(&self) {
        let mut endings = Vec::new();
        let mut next_look = Instant::now() + LOOK_EVERY;
        let mut next_bury = Instant::now();
        let bury_every = self.lease / 3;
        while !self.is_closed() {
            let _either = timeout(TIDY_EVERY, self.closing()).await;
            let Some(tracker) = self.tracker() else {
                return;
            };
            self.let_go(&tracker).await;
            let now = Instant::now();
            if now >= next_look {
                // Published records may have been lost in silence.
                next_look = now + LOOK_EVERY;
                self.resync_all();
            }
            if now >= next_bury || !endings.is_empty() {
                next_bury = now + bury_every;
                self.bury(&tracker, &mut endings).await;
            }
        }
    }

    /// Ends the tasks of dead nodes, unless this node was itself away not long ago: then the
    /// others may be as alive as it is.
    async fn bury(&self, tracker: &Arc<TrackerShared>, endings: &mut Vec<Ending>) {
        if self.seen_for() >= self.lease && endings.len() < MOST_ENDINGS {
            match self.transport.expired(MOST_ENDINGS - endings.len()).await {
                Ok(expired) => {
                    for expired in expired {
                        self.expire(tracker, expired, endings).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "dead nodes not asked for")
                }
            }
        }
        let mut untold = Vec::new();
        for mut ending in std::mem::take(endings) {
            // A claim whose answer was lost is made again, until it is answered.
            if let Err(error) = self.end(tracker, &mut ending).await {
                tracing::debug!(task = %ending.task, %error, "dead task not ended");
                untold.push(ending);
            }
        }
        *endings = untold;
    }

    async fn expire(&self, tracker: &TrackerShared, expired: Expired, endings: &mut Vec<Ending>) {
        let Expired { task, epoch, cause } = expired;
        if cause == ExpiredCause::Lease {
            if !endings.iter().any(|ending| ending.task == task) {
                endings.push(Ending {
                    task,
                    of: epoch,
                    proposed: tracker.next_epoch_after(epoch),
                    claimed: None,
                });
            }
        } else if let Err(error) = self.silent(tracker, task, epoch, cause).await {
            tracing::debug!(%error, "silence not told");
        }
    }

    /// Claims an end and tells it; done also if another node was first.
    async fn end(
        &self,
        tracker: &Arc<TrackerShared>,
        ending: &mut Ending,
    ) -> Result<(), TransportError> {
        if ending.claimed.is_none() {
            let claim = Claim::End {
                node: self.node.clone(),
                of: ending.of,
            };
            match self
                .transport
                .claim(&ending.task, ending.proposed, claim)
                .await
            {
                Ok(epoch) => ending.claimed = Some(epoch),
                Err(ClaimError::Unavailable(error)) => return Err(error),
                // Another node was first, or the owner is back.
                Err(_) => return Ok(()),
            }
        }
        if let Some(epoch) = ending.claimed
            && !self.tell_end(tracker, &ending.task, epoch).await?
        {
            // The claim has to be made again, if the task is there at all.
            ending.claimed = None;
            return Err(TransportError::new(
                "the broker has lost the run of the end",
            ));
        }
        Ok(())
    }

    /// Stalls a shared task that has been silent, or ends it.
    async fn silent(
        &self,
        tracker: &TrackerShared,
        task: TaskId,
        epoch: Epoch,
        cause: ExpiredCause,
    ) -> Result<(), TransportError> {
        let topic = Topic::Task(task.clone());
        let page = self.transport.read(&topic, None).await?;
        let Some(page) = page.filter(|page| page.epoch == epoch) else {
            return Ok(());
        };
        let snapshot = page.snapshot();
        let mut now = tracker.now();
        if let Some(snapshot) = &snapshot {
            now = now.max(snapshot.updated_at);
        }
        // Several nodes may see the same silence: one of them is heard.
        let (data, id) = match cause {
            ExpiredCause::Quiet => {
                let stalled = |snapshot: &Snapshot| snapshot.state == TaskState::Stalled;
                if snapshot.as_ref().is_some_and(stalled) {
                    return Ok(());
                }
                let reason = Some(Arc::from("silent"));
                let id = format!("{epoch} stalled {}", page.head);
                (Data::Stalled(Note { reason }), id)
            }
            _ => {
                let (progress, duration_ms) = snapshot.map_or((0.0, 0), |snapshot| {
                    (snapshot.progress, snapshot.elapsed_at(now))
                });
                let data = abandoned("silent", progress, duration_ms);
                (data, format!("{epoch} complete"))
            }
        };
        let drafts = vec![Draft::new(data.clone(), now).id(id)];
        for answer in self.transport.submit(&topic, drafts).await {
            match answer {
                Ok(position) => {
                    let event =
                        Event::numbered(task.clone(), position, Seq::ZERO, now, data.clone());
                    self.copy_soon(&page.channels, &[Arc::new(event)]);
                }
                Err(AppendError::Unavailable(error)) => return Err(error),
                // It has ended meanwhile.
                Err(error) => tracing::debug!(%task, %error, "silence not told"),
            }
        }
        Ok(())
    }

    /// Tells an end that was claimed; not if the broker knows nothing of its run any more.
    async fn tell_end(
        &self,
        tracker: &Arc<TrackerShared>,
        task: &TaskId,
        epoch: Epoch,
    ) -> Result<bool, TransportError> {
        let topic = Topic::Task(task.clone());
        let Some(page) = self.transport.read(&topic, None).await? else {
            return Ok(false);
        };
        if page.epoch != epoch {
            return Ok(true);
        }
        let now = tracker.now();
        let before = Snapshot::of_events(page.ended_run.iter().cloned());
        let (progress, duration_ms) = before.map_or((0.0, 0), |snapshot| {
            (snapshot.progress, snapshot.elapsed_at(now))
        });
        let end = Arc::new(Event::numbered(
            task.clone(),
            Position::new(epoch, Seq::new(1)),
            Seq::ZERO,
            now,
            abandoned("lease_expired", progress, duration_ms),
        ));
        for answer in self.transport.append(vec![Arc::clone(&end)]).await {
            match answer {
                Err(AppendError::Unavailable(error)) => return Err(error),
                Err(AppendError::Unknown) => return Ok(false),
                Err(error) => tracing::debug!(%task, %error, "end not told"),
                Ok(()) => tracing::info!(%task, "ended a dead node's task"),
            }
        }
        self.copy_soon(&page.channels, &[end]);
        Ok(true)
    }

    /// Lets go of some of the topics that nobody has watched for a while.
    async fn let_go(&self, tracker: &TrackerShared) {
        let now = Instant::now();
        let mut idle = self.idle(now, MOST_LET_GO);
        idle.retain(|topic| self.begin_letting_go(topic, now, || tracker.drop_watched(topic)));
        let unwatched = join_all(idle.iter().map(|topic| self.transport.unwatch(topic))).await;
        for (topic, unwatched) in idle.iter().zip(unwatched) {
            if let Err(error) = unwatched {
                tracing::debug!(?topic, %error, "still published to this node");
            }
            self.end_letting_go(topic);
        }
    }
}

fn abandoned(cause: &str, progress: f64, duration_ms: u64) -> Data {
    Data::Complete(Box::new(Complete {
        status: Status::Abandoned,
        result: None,
        error: None,
        cause: Some(Arc::from(cause)),
        progress,
        duration_ms,
    }))
}

/// Tasks of dead nodes that are being ended at a time.
const MOST_ENDINGS: usize = 256;
/// Topics let go of at a time.
const MOST_LET_GO: usize = 1_024;
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// How often the heads of what is watched are compared with the broker's.
const LOOK_EVERY: Duration = Duration::from_secs(30);
