//! The lease of this node, and the tasks of nodes that have lost theirs.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    event::{Complete, Data, Event, Note, Status, TaskState},
    id::TaskId,
    link::{Backoff, Link},
    position::{Epoch, Position, Seq},
    snapshot::Snapshot,
    tracker::TrackerShared,
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, ExpiredCause, Topic, TransportError,
    },
};

/// A run that this node is ending.
#[derive(Debug)]
struct Ending {
    task: TaskId,
    of: Epoch,
    /// The run that holds the end; none until the claim is answered. What was claimed without an
    /// answer is this node's to end: nobody else finds it as long as this node lives.
    epoch: Option<Epoch>,
}

impl Link {
    /// Renews, ends, tidies up, for ever.
    pub(super) async fn keep(&self) {
        let period = self.lease / 3;
        let mut backoff = Backoff::new();
        let mut endings = Vec::new();
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            let next = Instant::now() + period;
            let renewed = self.transport.renew(&self.node, self.lease).await;
            let Some(tracker) = self.tracker() else {
                return;
            };
            match renewed {
                Ok(requests) => {
                    if self.saw(true) {
                        self.resync_all();
                        self.resend_all(&tracker);
                    }
                    for (id, request) in requests {
                        tracker.requested(&id, &request);
                    }
                    if let Err(error) = self.bury(&tracker, &mut endings).await {
                        tracing::debug!(node = %self.node, %error, "dead tasks not ended");
                    }
                    backoff.reset();
                }
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "lease not renewed");
                    self.saw(false);
                    drop(tracker);
                    self.pause(&mut backoff).await;
                    continue;
                }
            }
            self.let_go(&tracker).await;
            if Instant::now() >= next_look {
                // Published records may have been lost in silence.
                next_look = Instant::now() + LOOK_EVERY;
                self.resync_all();
            }
            drop(tracker);
            sleep_until(next).await;
        }
    }

    /// Ends the tasks of dead nodes, unless this node was itself away not long ago: then the
    /// others may be as alive as it is.
    async fn bury(
        &self,
        tracker: &Arc<TrackerShared>,
        endings: &mut Vec<Ending>,
    ) -> Result<(), TransportError> {
        let seen_for = self
            .up_since
            .lock()
            .map_or(Duration::ZERO, |since| since.elapsed());
        if seen_for >= self.lease {
            for expired in self.transport.expired(MOST_AT_ONCE).await? {
                self.expire(tracker, expired, endings).await?;
            }
        }
        // Also those that failed before.
        while let Some(mut ending) = endings.pop() {
            if let Err(error) = self.end(tracker, &mut ending).await {
                endings.push(ending);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn expire(
        &self,
        tracker: &TrackerShared,
        expired: Expired,
        endings: &mut Vec<Ending>,
    ) -> Result<(), TransportError> {
        let Expired { task, epoch, cause } = expired;
        if cause != ExpiredCause::Lease {
            return self.silent(tracker, task, epoch, cause).await;
        }
        endings.push(Ending {
            task,
            of: epoch,
            epoch: None,
        });
        Ok(())
    }

    async fn end(
        &self,
        tracker: &Arc<TrackerShared>,
        ending: &mut Ending,
    ) -> Result<(), TransportError> {
        let epoch = match ending.epoch {
            Some(epoch) => epoch,
            None => {
                let claim = Claim::End {
                    node: self.node.clone(),
                    of: ending.of,
                };
                let proposed = tracker.next_epoch();
                match self.transport.claim(&ending.task, proposed, claim).await {
                    Ok(epoch) => *ending.epoch.insert(epoch),
                    Err(ClaimError::Unavailable(error)) => return Err(error),
                    // Another node was first, or the owner is back.
                    Err(_) => return Ok(()),
                }
            }
        };
        self.tell_end(tracker, &ending.task, epoch).await
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
                    self.copy_to_channels(&page.channels, &[Arc::new(event)])
                        .await?;
                }
                Err(AppendError::Unavailable(error)) => return Err(error),
                // It has ended meanwhile.
                Err(error) => tracing::debug!(%task, %error, "silence not told"),
            }
        }
        Ok(())
    }

    async fn tell_end(
        &self,
        tracker: &Arc<TrackerShared>,
        task: &TaskId,
        epoch: Epoch,
    ) -> Result<(), TransportError> {
        let topic = Topic::Task(task.clone());
        let Some(page) = self.transport.read(&topic, None).await? else {
            return Ok(());
        };
        let now = tracker.clock.at(Instant::now());
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
                Err(error) => tracing::debug!(%task, %error, "end not told"),
                Ok(()) => tracing::info!(%task, "ended a dead node's task"),
            }
        }
        self.copy_to_channels(&page.channels, &[end]).await
    }

    async fn let_go(&self, tracker: &TrackerShared) {
        for topic in self.take_idle(Instant::now()) {
            tracker.drop_mirror(&topic);
            if let Err(error) = self.transport.unwatch(&topic).await {
                tracing::debug!(?topic, %error, "still published to this node");
            }
            // Somebody came while it was ended.
            self.watch_again(topic);
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

/// Tasks of dead nodes ended at a time.
const MOST_AT_ONCE: usize = 256;
/// How often the heads of what is watched are compared with the broker's.
const LOOK_EVERY: Duration = Duration::from_secs(30);
