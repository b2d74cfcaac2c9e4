//! What nodes and the broker between them hold.

use std::time::Duration;

use progress_core::{
    ChannelBody, Data, EventInput, ProgressUpdate, TaskState,
    testing::MemoryBus,
    transport::{Page, Record, Topic, Transport},
};
use serde_json::json;

use crate::{input, support::Node};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn line(text: &str) -> EventInput {
    input("log", json!({"message": text}))
}

/// What the broker holds of a topic, seen by somebody who is no node.
pub(crate) async fn held(bus: &MemoryBus, topic: &Topic) -> Page {
    bus.connect().read(topic, None).await.unwrap().unwrap()
}

pub(crate) async fn held_of_task(bus: &MemoryBus) -> Page {
    held(bus, &Topic::Task("t".parse().unwrap())).await
}

pub(crate) fn held_types(page: &Page) -> Vec<String> {
    page.records
        .iter()
        .map(|record| match record {
            Record::Task(event) => event.event_type().to_owned(),
            Record::Channel(event) => match event.body() {
                ChannelBody::Task(event) => event.event_type().to_owned(),
                other => panic!("{other:?}"),
            },
        })
        .collect()
}

/// The newest event that the broker holds, an update.
pub(crate) async fn newest_update(bus: &MemoryBus) -> ProgressUpdate {
    match held_of_task(bus).await.records.last() {
        Some(Record::Task(event)) => match event.data() {
            Data::ProgressUpdate(update) => (**update).clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn state(node: &Node) -> TaskState {
    node.tracker.snapshot("t").await.unwrap().state
}
