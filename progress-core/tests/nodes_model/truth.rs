//! Every event that was ever numbered.

use std::{collections::BTreeMap, sync::Arc};

use progress_core::{ChannelBody, ChannelEvent, Data, Epoch, Event, Retention, Snapshot, TaskId};

/// What has been numbered, by owners and by the broker.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    runs: BTreeMap<(TaskId, Epoch), Run>,
    /// How often the broker has lost what it held.
    pub(crate) forgets: u32,
    /// The runs of the one channel.
    pub(crate) channel: BTreeMap<Epoch, Vec<Arc<ChannelEvent>>>,
}

/// A run of a task: its events from 1.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) events: Vec<Arc<Event>>,
    /// The heads at which its owner took its progress back.
    pub(crate) resets: Vec<u64>,
    /// Whether an owner numbers it.
    pub(crate) owned: bool,
}

impl Truth {
    pub(crate) fn run(&self, task: &TaskId, epoch: Epoch) -> Option<&Run> {
        self.runs.get(&(task.clone(), epoch))
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (&(TaskId, Epoch), &Run)> {
        self.runs.iter()
    }

    /// The newest run of a task.
    pub(crate) fn newest(&self, task: &TaskId) -> Option<(Epoch, &Run)> {
        let mut runs = self.runs.iter().rev();
        let ((_, epoch), run) = runs.find(|((of, _), _)| of == task)?;
        Some((*epoch, run))
    }

    pub(crate) fn begin_owned(&mut self, task: &TaskId, epoch: Epoch) {
        let run = Run {
            owned: true,
            ..Run::default()
        };
        let old = self.runs.insert((task.clone(), epoch), run);
        assert!(old.is_none(), "G1: {task} has had a run {epoch} before");
    }

    pub(crate) fn was_reset(&mut self, task: &TaskId, epoch: Epoch, head: u64) {
        if let Some(run) = self.runs.get_mut(&(task.clone(), epoch)) {
            run.resets.push(head);
        }
    }

    /// Takes down what an owner has numbered.
    pub(crate) fn numbered_by_owner(&mut self, event: &Arc<Event>) {
        let run = self.runs.get_mut(&key(event));
        run.expect("begun by its owner").push(event);
    }

    /// Takes down what the broker has published: numbered by itself, or by an owner before.
    pub(crate) fn seen_at_broker(&mut self, event: &Arc<Event>) {
        let run = self.runs.entry(key(event)).or_default();
        match run.at(event.seq().get()) {
            Some(known) => assert_same(known, event),
            None if run.owned => panic!("G1: not numbered by its owner: {event:?}"),
            None => run.push(event),
        }
    }

    pub(crate) fn seen_in_channel(&mut self, event: &Arc<ChannelEvent>) {
        let events = self.channel.entry(event.position().epoch()).or_default();
        let seq = event.seq().get();
        assert_eq!(seq, events.len() as u64 + 1, "G1: a channel has a hole");
        events.push(Arc::clone(event));
    }
}

impl Run {
    pub(crate) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn at(&self, seq: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(seq).ok()?.checked_sub(1)?)
    }

    pub(crate) fn is_ended(&self) -> bool {
        let last = self.events.last();
        last.is_some_and(|last| matches!(last.data(), Data::Complete(_)))
    }

    fn push(&mut self, event: &Arc<Event>) {
        let seq = event.seq().get();
        assert_eq!(seq, self.head() + 1, "G1: numbered with a hole: {event:?}");
        assert!(!self.is_ended(), "G4: after the end: {event:?}");
        self.events.push(Arc::clone(event));
    }

    /// The newest State of each key, up to a number.
    pub(crate) fn newest_of_keys(&self) -> BTreeMap<String, u64> {
        let mut newest = BTreeMap::new();
        for event in &self.events {
            if let Retention::State(key) = event.data().retention() {
                newest.insert(key, event.seq().get());
            }
        }
        newest
    }

    pub(crate) fn milestones(&self, range: std::ops::RangeInclusive<u64>) -> usize {
        let events = self.events.iter();
        events
            .filter(|event| range.contains(&event.seq().get()))
            .filter(|event| event.data().retention() == Retention::Milestone)
            .count()
    }

    /// The task as it stood at a number.
    pub(crate) fn snapshot(&self, seq: u64) -> Option<Snapshot> {
        let events = self.events.iter().take(usize::try_from(seq).ok()?);
        Snapshot::of_events(events.cloned())
    }
}

fn key(event: &Event) -> (TaskId, Epoch) {
    (event.task_id().clone(), event.epoch())
}

/// G1: the same event at the same number, to whoever and by whatever way.
pub(crate) fn assert_same(known: &Event, seen: &Event) {
    assert!(known == seen, "G1: {known:?} was seen as {seen:?}");
}

/// What a channel has in the place of a key; none for what nothing supersedes.
pub(crate) fn channel_key(event: &ChannelEvent) -> Option<String> {
    match event.retention() {
        Retention::State(key) => Some(key),
        _ => None,
    }
}

/// Whether something after an event in its channel says more.
pub(crate) fn is_superseded(events: &[Arc<ChannelEvent>], seq: u64) -> bool {
    let event = &events[seq as usize - 1];
    let key = channel_key(event);
    events[seq as usize..].iter().any(|later| {
        channel_key(later) == key
            || match (later.body(), event.event()) {
                (ChannelBody::Task(later), Some(event)) => {
                    later.task_id() == event.task_id() && matches!(later.data(), Data::Complete(_))
                }
                _ => false,
            }
    })
}
