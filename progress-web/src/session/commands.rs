//! What a session does about what its client says.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{
    command::{Command, Parsed, RefusedTopic, TopicRequest},
    machine::{Effect, Machine, Shape},
    topic::Name,
};
use crate::error::{ApiError, Code};

impl Machine {
    /// Takes a message of the client; `None` is one that does not parse.
    pub(crate) fn on_message(&mut self, message: Option<&Value>, now: Instant) {
        self.on_life(now);
        if self.closed {
            return;
        }
        let message = message.unwrap_or(&Value::Null);
        let Parsed {
            command,
            request_id,
        } = Parsed::from_value(message, self.pace.command_topics);
        let taken = match command {
            Ok(Command::Pong) => self.inbound.take_answer(now),
            _ => self.inbound.take(now),
        };
        if let Err(wait) = taken {
            return self.on_flood(wait);
        }
        if self.door.is_some() {
            let command = Parsed {
                command,
                request_id,
            };
            return self.on_knock(command, now);
        }
        self.obey(command, request_id);
    }

    pub(super) fn obey(
        &mut self,
        command: Result<Command, ApiError>,
        request_id: Option<Box<Value>>,
    ) {
        match command {
            Ok(Command::Pong) => {}
            Ok(Command::Ping) => self.say(None, "pong", None, None),
            Ok(Command::Auth(header)) => self.effects.push_back(Effect::Authorize(header)),
            Ok(_) if self.shape != Shape::Sockets => {
                let refusal = "this connection watches one task and takes ping, pong and auth only";
                let error = ApiError::new(Code::InvalidCommand, refusal);
                self.say_rejected(None, request_id.as_deref(), &error);
            }
            Ok(Command::Register(registration)) => {
                self.effects.push_back(Effect::Register(registration));
            }
            Ok(Command::Cancel { task, reason }) => self.on_cancel(task, reason, request_id),
            Ok(Command::Subscribe(topics)) => self.on_subscribe(topics, request_id.as_deref()),
            Ok(Command::Unsubscribe(topics)) => self.on_unsubscribe(topics, request_id.as_deref()),
            Err(error) => self.say_rejected(None, request_id.as_deref(), &error),
        }
    }

    /// Takes note that the client lives, by what says nothing else: a ping, a pong.
    pub(crate) fn on_sign(&mut self, now: Instant) {
        self.on_life(now);
        if let Err(wait) = self.inbound.take_answer(now)
            && !self.closed
        {
            self.on_flood(wait);
        }
    }

    /// The client says too much. What it says is never dropped unsaid: the connection ends.
    fn on_flood(&mut self, wait: Duration) {
        let limit = self.inbound.rate().per_minute;
        let message = format!("too many messages, the limit is {limit} a minute");
        let error = ApiError::new(Code::RateLimited, message).detail("limit", limit);
        self.on_dismissed(&error.retry_after(wait));
        self.effects.push_back(Effect::Limited("messages"));
    }

    /// A cancellation is done with. That it was asked for shows in the task's events.
    pub(crate) fn on_cancelled(
        &mut self,
        task: &Name,
        request_id: Option<&Value>,
        result: Result<(), ApiError>,
    ) {
        self.cancels -= 1;
        if let Err(error) = result
            && !self.closed
        {
            self.say_rejected(Some(task), request_id, &error);
        }
    }

    fn on_subscribe(
        &mut self,
        topics: Vec<Result<TopicRequest, RefusedTopic>>,
        request_id: Option<&Value>,
    ) {
        for topic in topics {
            let TopicRequest {
                name,
                after,
                replay,
            } = match topic {
                Ok(topic) => topic,
                Err(refused) => {
                    self.say_rejected(refused.name.as_ref(), request_id, &refused.error);
                    continue;
                }
            };
            if let Err(error) = self.has_place_for(&name) {
                self.say_rejected(Some(&name), request_id, &error);
                continue;
            }
            let request_id = request_id.cloned().map(Box::new);
            let topic = self.add_topic(name.clone(), after, request_id);
            self.effects.push_back(Effect::Subscribe {
                topic,
                name,
                after,
                replay,
            });
        }
    }

    fn on_unsubscribe(
        &mut self,
        topics: Vec<Result<TopicRequest, RefusedTopic>>,
        request_id: Option<&Value>,
    ) {
        for topic in topics {
            let name = match topic {
                Ok(topic) => topic.name,
                Err(refused) => {
                    self.say_rejected(refused.name.as_ref(), request_id, &refused.error);
                    continue;
                }
            };
            let Some(index) = self.place_of(&name) else {
                let error = ApiError::new(Code::NotSubscribed, "this is not watched here");
                self.say_rejected(Some(&name), request_id, &error);
                continue;
            };
            // Who waits for the verdict gets one.
            if let Some(asked) = self.topics[index]
                .as_mut()
                .and_then(|topic| topic.take_unanswered())
            {
                let error = ApiError::new(Code::NotSubscribed, "unsubscribed before the verdict");
                self.say_rejected(Some(&name), asked.as_deref(), &error);
            }
            self.over(index);
        }
    }

    fn on_cancel(&mut self, task: Name, reason: Option<String>, request_id: Option<Box<Value>>) {
        if self.cancels >= CANCELS {
            let message = format!("too many cancellations under way, the limit is {CANCELS}");
            let error = ApiError::new(Code::RateLimited, message).detail("limit", CANCELS);
            self.effects.push_back(Effect::Limited("cancellations"));
            return self.say_rejected(Some(&task), request_id.as_deref(), &error);
        }
        self.cancels += 1;
        self.effects.push_back(Effect::Cancel {
            task,
            reason,
            request_id,
        });
    }

    fn has_place_for(&self, name: &Name) -> Result<(), ApiError> {
        if self.place_of(name).is_some() {
            let message = "this is watched here already; unsubscribe first to begin elsewhere";
            return Err(ApiError::new(Code::AlreadySubscribed, message));
        }
        let limit = self.pace.session_topics;
        if self.places.as_ref().map_or(0, |places| places.count()) >= limit {
            let message = format!("too many topics on one connection, the limit is {limit}");
            let error = ApiError::new(Code::TooManyTopics, message);
            return Err(error.field("topics").detail("limit", limit));
        }
        Ok(())
    }

    fn place_of(&self, name: &Name) -> Option<usize> {
        self.places.as_ref()?.of(name)
    }
}

/// Cancellations of one connection that are under way at a time; each is one question to the
/// authorizer and, with a broker, one to it.
const CANCELS: u8 = 16;
