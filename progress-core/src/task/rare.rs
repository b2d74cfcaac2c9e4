//! What most tasks never have, apart so that those stay small.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::PublishError,
    event::Note,
    task::{
        inner::Inner,
        mirror::{Mirror, Successor},
        unowned::Unowned,
    },
};

#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The request to stop.
    pub(super) asked: Option<Note>,
    /// Since when it is paused, if it is.
    pub(super) paused_since: Option<Instant>,
    /// How long it was paused before that.
    pub(super) paused: Duration,
    /// Of a task whose events are numbered elsewhere.
    pub(super) mirror: Option<Box<Mirror>>,
    /// Of a task without an owner whose events this tracker numbers.
    pub(super) unowned: Option<Box<Unowned>>,
    /// Another run that readers are to go on with.
    pub(super) successor: Option<Box<Successor>>,
    /// Refusals that no caller gets, to be noted when the lock is released.
    refused: Vec<PublishError>,
}

impl Inner {
    /// What most tasks never have, from now on this one.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn mirror(&mut self) -> Option<&mut Mirror> {
        self.rare.as_mut()?.mirror.as_deref_mut()
    }

    pub(super) fn unowned(&mut self) -> Option<&mut Unowned> {
        self.rare.as_mut()?.unowned.as_deref_mut()
    }

    /// Keeps a refusal that no caller gets.
    pub(super) fn refuse(&mut self, refused: Option<PublishError>) {
        if let Some(refused) = refused {
            self.rare().refused.push(refused);
        }
    }

    /// What was refused since it was asked last, if anything was.
    pub(super) fn take_refused(&mut self) -> Option<Vec<PublishError>> {
        let refused = &mut self.rare.as_mut()?.refused;
        (!refused.is_empty()).then(|| std::mem::take(refused))
    }
}
