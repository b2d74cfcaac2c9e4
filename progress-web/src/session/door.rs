//! A connection before it is known whose it is.

use tokio::time::Instant;

use super::{
    command::{Command, Parsed},
    machine::{Effect, Machine, Shape},
};
use crate::error::{ApiError, Code};

/// A connection of whose client nothing is known yet: nothing is said to it, and nothing is done
/// for it but to look who it is.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) until: Instant,
    /// What it came for, if that is known.
    pub(super) wants: Option<Effect>,
    /// It has said who it is, which is looked into.
    pub(super) is_asked: bool,
}

impl Machine {
    /// Waits at the door until the client says who it is; then it is asked for what it came for.
    pub(super) fn wait_for_credentials(&mut self, wants: Option<Effect>, now: Instant) {
        self.door = Some(Box::new(Door {
            until: now + self.pace.auth_wait,
            wants,
            is_asked: false,
        }));
    }

    /// The client may be here, until then.
    pub(crate) fn on_known(&mut self, expires: Option<Instant>) {
        self.expires = expires;
        self.note_end(expires);
        if self.shape == Shape::Sockets && self.door.take().is_some() {
            self.greet();
        }
    }

    /// The client may not be here.
    pub(crate) fn on_unknown(&mut self, error: &ApiError) {
        self.on_dismissed(error);
    }

    /// Takes what a client says of whom nothing is known: only who it is counts, and what comes
    /// behind that is held until it is known.
    pub(super) fn on_knock(&mut self, message: Parsed, now: Instant) {
        let Some(door) = &mut self.door else { return };
        match message.command {
            Ok(Command::Ping | Command::Pong) => {}
            Ok(Command::Auth(header)) if !door.is_asked => {
                door.is_asked = true;
                // From here on it is the authorizer's time.
                door.until = now + self.pace.auth_wait;
                let wants = door.wants.take();
                self.effects.push_back(Effect::Authorize(header));
                self.effects.extend(wants);
            }
            _ if door.is_asked && self.held.len() < HELD => self.held.push(message),
            _ if door.is_asked => {
                let message = format!("too many messages before `connected`, the limit is {HELD}");
                let error = ApiError::new(Code::RateLimited, message).detail("limit", HELD);
                self.on_dismissed(&error);
                self.effects.push_back(Effect::Limited("messages"));
            }
            _ => {
                let message =
                    "the first message has to say who asks: {\"type\":\"auth\",\"token\":\"…\"}";
                self.on_dismissed(&ApiError::new(Code::Unauthenticated, message));
            }
        }
    }

    /// Does what was said at the door behind the credentials, once these have opened it.
    pub(crate) fn catch_up(&mut self) {
        if self.door.is_some() || self.held.is_empty() {
            return;
        }
        for message in std::mem::take(&mut self.held) {
            if !self.closed {
                self.obey(message.command, message.request_id);
            }
        }
    }
}

/// Messages of a client that are held until it is known who it is.
const HELD: usize = 16;
