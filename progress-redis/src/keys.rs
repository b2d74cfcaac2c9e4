//! Names of keys and channels.
//!
//! All keys of a topic hold its name as their hash tag, and so are in one slot.

use std::sync::Arc;

use progress_core::{
    TaskId,
    transport::{NodeId, Topic},
};

/// Names keys under a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Arc<str>,
}

/// Who a published message is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Addressee {
    Topic(Topic),
    Node,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the keys of a topic begin with, and the channel on which it is published.
    pub(crate) fn base(&self, topic: &Topic) -> String {
        match topic {
            Topic::Task(task) => self.task(task),
            Topic::Channel(channel) => format!("{}:c:{{{channel}}}", self.prefix),
        }
    }

    pub(crate) fn task(&self, task: &TaskId) -> String {
        format!("{}:t:{{{task}}}", self.prefix)
    }

    /// The channel on which a node hears what is asked of its tasks.
    pub(crate) fn node(&self, node: &NodeId) -> String {
        format!("{}:n:{node}", self.prefix)
    }

    /// The channel on which one connection hears itself.
    pub(crate) fn probe(&self, connection: &str) -> String {
        format!("{}:p:{connection}", self.prefix)
    }

    pub(crate) fn once(&self, key: &str) -> String {
        format!("{}:o:{key}", self.prefix)
    }

    pub(crate) fn index(&self, name: &str) -> String {
        format!("{}:i:{name}", self.prefix)
    }

    /// Who is meant by a message on this channel; none if it is no channel of these.
    pub(crate) fn addressee(&self, channel: &str) -> Option<Addressee> {
        let name = channel.strip_prefix(&*self.prefix)?.strip_prefix(':')?;
        let (kind, name) = name.split_once(':')?;
        if kind == "n" {
            return Some(Addressee::Node);
        }
        let name = name.strip_prefix('{')?.strip_suffix('}')?;
        let topic = match kind {
            "t" => Topic::Task(name.parse().ok()?),
            "c" => Topic::Channel(name.parse().ok()?),
            _ => return None,
        };
        Some(Addressee::Topic(topic))
    }
}

/// What is kept of a task's run that its owner numbers.
pub(crate) struct OwnedRun {
    pub(crate) milestones: String,
    pub(crate) lines: String,
    pub(crate) states: String,
}

impl OwnedRun {
    pub(crate) fn new(base: &str, generation: u64) -> Self {
        Self {
            milestones: format!("{base}:o{generation}:s"),
            lines: format!("{base}:o{generation}:l"),
            states: format!("{base}:o{generation}:v"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_tells_its_topic() {
        let keys = Keys::new("a:b");
        let task = Topic::Task("x:y.z".parse().expect("a task id"));
        let own = Topic::Channel("_tasks".parse().expect("its name"));
        for topic in [task, own] {
            let base = keys.base(&topic);
            assert_eq!(keys.addressee(&base), Some(Addressee::Topic(topic)));
        }
        for other in [
            "a:b",
            "a:bc:t:{x}",
            "a:b:t:x",
            "a:b:t:{}",
            "a:b:i:{x}",
            "b:t:{x}",
        ] {
            assert_eq!(keys.addressee(other), None, "{other}");
        }
    }
}
