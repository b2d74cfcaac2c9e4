//! All faults heal, and everything comes to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use progress_core::{
    ChannelBody, Data, EventInput, PublishError, Retention, TaskId,
    transport::{Owner, Page, Topic, Transport},
};
use serde_json::json;
use tokio::time::timeout;

use super::{
    node::Node,
    world::{AWHILE, World},
};
use crate::common::{Mark, json as parsed};

impl World {
    /// G5 and convergence.
    pub(crate) async fn settle(&mut self) {
        self.heal();
        // A node takes care of others' tasks from its first use on.
        for node in &self.nodes {
            assert!(node.tracker.snapshot("another").await.is_err());
        }
        // Leases, and a look at all heads.
        self.come_to_rest().await;
        for task in self.tasks.clone() {
            self.check_alive(&task).await;
        }
        self.end_all().await;
        self.come_to_rest().await;
        for reader in &self.readers {
            // It lagged, was refused, or has come to the end.
            assert!(reader.is_over(), "G5: it waits for ever: {reader:?}");
            if reader.has_seen_end() {
                reader.check_converged(&self.truth);
            }
        }
        for reader in &self.channel_readers {
            reader.check_converged(&self.truth);
        }
        self.check_channel();
    }

    async fn come_to_rest(&mut self) {
        self.advance(Duration::from_secs(60)).await;
        // Who looked away goes on only now with the run that counts.
        self.read_all();
        self.advance(Duration::from_secs(1)).await;
        self.read_all();
    }

    /// Every task has ended, or is live on a node that is there; who reads it stands at its head.
    async fn check_alive(&mut self, task: &TaskId) {
        let page = self.page(task).await;
        let epoch = page.as_ref().map(|page| page.epoch);
        for held in self.held.iter().filter(|held| held.task.id() == task) {
            let here = held.task.head().epoch();
            if epoch == Some(here) {
                let page = page.as_ref().expect("it has an epoch");
                let node = &self.nodes[held.node];
                assert!(
                    matches!(&page.owner, Owner::Node(id) if id.as_str() == node.tracker.node())
                );
                assert_eq!(page.head, held.task.head().seq(), "not all was told");
                let more = held.task.emit(Mark { n: 0 });
                assert!(more.is_ok(), "G5: nobody ends {page:?}");
                let asked = self.asked.contains(&(task.clone(), here));
                assert!(
                    !asked || held.task.is_cancelled(),
                    "a request did not arrive"
                );
            } else {
                let late = held.task.emit(Mark { n: 0 });
                assert_eq!(
                    late,
                    Err(PublishError::Superseded),
                    "{task} {here} beside {epoch:?}"
                );
            }
        }
        let Some(page) = page else { return };
        let ended = page.snapshot().is_some_and(|task| task.state.is_ended());
        let owned = || {
            let mut held = self.held.iter();
            held.any(|held| held.task.head().epoch() == page.epoch && held.task.id() == task)
        };
        assert!(
            ended || page.owner == Owner::Shared || owned(),
            "G5: nobody takes care of {task}: {page:?}"
        );
        for reader in self.readers.iter().filter(|reader| reader.task == *task) {
            if reader.is_over() || reader.epoch().is_none() {
                continue;
            }
            assert_eq!(
                reader.epoch(),
                Some(page.epoch),
                "in another run: {reader:?}"
            );
            reader.check_converged(&self.truth);
        }
    }

    /// Ends what lives, by whoever may; what was lost or never was is run once more.
    async fn end_all(&mut self) {
        for held in std::mem::take(&mut self.held) {
            drop(held.task.complete(()));
        }
        self.advance(Duration::from_secs(1)).await;
        let finisher = Node::new(&self.bus);
        for task in self.tasks.clone() {
            let live = match self.page(&task).await {
                None => None,
                Some(page) if page.snapshot().is_some_and(|task| task.state.is_ended()) => continue,
                Some(page) => Some(page),
            };
            if live.is_none() {
                self.a_millisecond();
                let started = finisher
                    .tracker
                    .task(&task)
                    .start_confirmed()
                    .await
                    .unwrap();
                self.truth.begin_owned(&task, started.head().epoch());
                self.record(&finisher, &task);
                started.complete(()).unwrap();
                self.take_down();
                continue;
            }
            let end = EventInput::new("complete", &json!({"status": "completed"})).unwrap();
            let publishing = finisher.tracker.publish(&task, vec![end]);
            let published = timeout(AWHILE, publishing).await.expect("nothing is wrong");
            assert_eq!(published.expect("it lives").accepted, 1);
        }
        self.advance(Duration::from_secs(1)).await;
    }

    /// What is in the channel is there once, and in the order of its task; what was emitted is there.
    fn check_channel(&self) {
        let mut marks = Vec::new();
        for (epoch, events) in &self.truth.channel {
            let mut seen = BTreeSet::new();
            let mut of_runs = BTreeMap::new();
            for event in events {
                match event.body() {
                    ChannelBody::Own { custom, .. } => {
                        let n = parsed(custom.data.json())["n"].as_u64().unwrap();
                        assert!(seen.insert(n), "twice in {epoch}: {event:?}");
                    }
                    ChannelBody::Task(event) => {
                        let run = (event.task_id().clone(), event.epoch());
                        let seqs: &mut BTreeSet<_> = of_runs.entry(run).or_default();
                        // Told again after a loss, what was on its way meanwhile comes first; and a
                        // milestone may be late that another node published.
                        let in_order = seqs.last() < Some(&event.seq());
                        let late = !matches!(event.data().retention(), Retention::State(_));
                        let shared = !self
                            .truth
                            .run(event.task_id(), event.epoch())
                            .is_some_and(|run| run.owned);
                        assert!(
                            in_order || self.truth.forgets > 0 || (shared && late),
                            "out of order: {event:?}"
                        );
                        assert!(seqs.insert(event.seq()), "twice in {epoch}: {event:?}");
                    }
                }
            }
            marks.extend(seen);
        }
        if self.truth.forgets == 0 {
            for (_, n) in &self.emitted {
                assert!(marks.contains(n), "lost on its way into the channel: {n}");
            }
        }
        self.check_ids();
    }

    /// What was published with an id stands once in each run.
    fn check_ids(&self) {
        for ((task, epoch), run) in self.truth.runs() {
            let mut marks = BTreeSet::new();
            for event in run.events.iter().filter(|_| !run.owned) {
                if let Data::Custom(custom) = event.data() {
                    let n = parsed(custom.data.json())["n"].as_u64();
                    assert!(marks.insert(n), "twice in {task} {epoch}: {event:?}");
                }
            }
        }
    }

    async fn page(&self, task: &TaskId) -> Option<Page> {
        let topic = Topic::Task(task.clone());
        self.observer
            .read(&topic, None)
            .await
            .expect("nothing is wrong")
    }
}
