//! What comes from outside: messages of those who speak to the broker and know nothing of nodes.
//!
//! They wait in a queue of their own and are published as what comes over HTTP, each task's in their
//! order. Nobody waits for an answer: what cannot be published is counted.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
};

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use crate::{
    error::{PublishError, StartError},
    id::TaskId,
    link::Link,
    shared::{EventInput, InvalidMessage, Said, publish},
    sync::Mutex,
    task::TaskBuilder,
    tracker::TrackerShared,
    transport::{Foreign, ForeignRefusal, ForeignStats},
};

/// Messages that wait to be published, to [`MOST`] and [`MOST_BYTES`], and what became of others.
#[derive(Debug, Default)]
pub(super) struct Intake {
    queue: Mutex<Queue>,
    wake: Notify,
    accepted: AtomicU64,
    refused: [AtomicU64; ForeignRefusal::ALL.len()],
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(TaskId, Vec<u8>)>,
    bytes: usize,
}

impl Intake {
    fn push(&self, task: TaskId, payload: Vec<u8>) -> bool {
        let mut queue = self.queue.lock();
        let room = queue.messages.len() < MOST && queue.bytes + payload.len() <= MOST_BYTES;
        if room {
            queue.bytes += payload.len();
            queue.messages.push_back((task, payload));
            drop(queue);
            self.wake.notify_one();
        }
        room
    }

    fn take(&self) -> VecDeque<(TaskId, Vec<u8>)> {
        std::mem::take(&mut *self.queue.lock()).messages
    }

    fn refuse(&self, why: ForeignRefusal, count: u64) {
        self.refused[why as usize].fetch_add(count, Ordering::Relaxed);
    }

    fn refuse_for(&self, error: &PublishError) {
        self.refuse(
            match error {
                PublishError::AlreadyComplete => ForeignRefusal::Ended,
                PublishError::Owned => ForeignRefusal::Owned,
                PublishError::Unavailable(_)
                | PublishError::NotFound
                | PublishError::Superseded => ForeignRefusal::Unavailable,
                _ => ForeignRefusal::InvalidEvent,
            },
            1,
        );
    }
}

impl Link {
    /// What has become of messages from outside.
    pub(crate) fn foreign_stats(&self) -> ForeignStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ForeignStats {
            accepted: load(&self.intake.accepted),
            refused: self.intake.refused.each_ref().map(load),
        }
    }

    /// Takes a message, without waiting.
    pub(super) fn take_in(&self, tracker: &TrackerShared, foreign: Foreign) {
        let refused = match foreign {
            Foreign::Overflow(count) => (ForeignRefusal::Overflow, count),
            // Before it is read.
            Foreign::Message { payload, .. }
                if payload.len() > Foreign::MOST_BYTES.min(tracker.limits.payload + ENVELOPE) =>
            {
                (ForeignRefusal::TooLarge, 1)
            }
            Foreign::Message { task, payload } => match task.parse() {
                Err(_) => (ForeignRefusal::InvalidTask, 1),
                Ok(task) => match self.intake.push(task, payload) {
                    true => return,
                    false => (ForeignRefusal::Overflow, 1),
                },
            },
        };
        self.intake.refuse(refused.0, refused.1);
    }

    /// Publishes what has come from outside, as long as the link is open.
    pub(super) async fn publish_foreign(&self) {
        while !self.is_closed() {
            let messages = self.intake.take();
            if messages.is_empty() {
                self.intake.wake.notified().await;
                continue;
            }
            let Some(tracker) = self.tracker() else {
                return;
            };
            let tasks = self.read_foreign(&tracker, messages);
            // All of a task together, and so in their order.
            stream::iter(tasks)
                .for_each_concurrent(TASKS_AT_ONCE, |(task, events)| {
                    self.publish_foreign_events(&tracker, task, events)
                })
                .await;
        }
    }

    fn read_foreign(
        &self,
        tracker: &TrackerShared,
        messages: VecDeque<(TaskId, Vec<u8>)>,
    ) -> HashMap<TaskId, Vec<EventInput>> {
        let mut tasks: HashMap<_, Vec<_>> = HashMap::new();
        for (task, payload) in messages {
            // One that no task takes starts none.
            let event = EventInput::from_message(&task, &payload).map_err(|error| match error {
                InvalidMessage::NotJson => ForeignRefusal::NotJson,
                InvalidMessage::OtherTask => ForeignRefusal::OtherTask,
                InvalidMessage::NoEvent(_) => ForeignRefusal::InvalidEvent,
            });
            let event = event.and_then(|event| match Said::read(&event, &tracker.limits) {
                Ok(_) => Ok(event),
                Err(error) => {
                    tracing::debug!(%task, %error, "a message that is no event");
                    Err(ForeignRefusal::InvalidEvent)
                }
            });
            match event {
                Ok(event) => tasks.entry(task).or_default().push(event),
                Err(why) => self.intake.refuse(why, 1),
            }
        }
        tasks
    }

    async fn publish_foreign_events(
        &self,
        tracker: &Arc<TrackerShared>,
        task: TaskId,
        events: Vec<EventInput>,
    ) {
        let count = events.len();
        let mut answer = publish(tracker, &task, None, events.clone()).await;
        if answer == Err(PublishError::NotFound) {
            let started = TaskBuilder::new(Some(Arc::clone(tracker)), &task);
            answer = match started.share().await {
                // Somebody else may have started it meanwhile.
                Ok(_) | Err(StartError::AlreadyExists(_)) => {
                    publish(tracker, &task, None, events).await
                }
                Err(error) => {
                    tracing::debug!(%task, %error, "not started for a message");
                    Err(PublishError::NotFound)
                }
            };
        }
        match answer {
            Ok(published) => {
                let accepted = published.accepted as u64;
                self.intake.accepted.fetch_add(accepted, Ordering::Relaxed);
                for (_, error) in &published.errors {
                    self.intake.refuse_for(error);
                }
            }
            Err(error) => {
                for _ in 0..count {
                    self.intake.refuse_for(&error);
                }
            }
        }
    }
}

/// Messages that may wait to be published, and their bytes.
const MOST: usize = 4_096;
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What a message may have besides the data of its event.
const ENVELOPE: usize = 4 * 1024;
/// Tasks that are published to at the same time.
const TASKS_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_by_count_and_by_bytes() {
        let intake = Intake::default();
        let task: TaskId = "t".parse().unwrap();
        let push = |len| intake.push(task.clone(), vec![b' '; len]);
        for _ in 0..2 {
            assert!((0..MOST).all(|_| push(1)));
            assert!(!push(1));
            assert_eq!(intake.take().len(), MOST);
            assert!(push(MOST_BYTES));
            assert!(!push(1));
            assert_eq!(intake.take().len(), 1);
        }
    }
}
