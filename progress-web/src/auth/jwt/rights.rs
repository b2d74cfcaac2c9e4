//! What a verified token allows.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use progress_core::{ChannelName, TaskId};

use super::{
    names::Names,
    permission::{Permission, Permissions},
};
use crate::auth::{Action, Principal, Refusal};

/// What a token that was verified says of whoever has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) subject: Option<String>,
    /// When the token is no longer taken.
    pub(super) ends: SystemTime,
    /// As the token names them.
    pub(super) roles: Arc<[String]>,
    pub(super) permissions: Permissions,
    /// The tasks that it is for; without the claim, all that its permissions are for.
    pub(super) tasks: Option<Names>,
    /// The same of channels.
    pub(super) channels: Option<Names>,
}

impl Rights {
    pub(super) fn principal(&self) -> Principal {
        Principal {
            subject: self.subject.clone(),
            expires_at: Some(self.ends),
            roles: Arc::clone(&self.roles),
        }
    }

    /// Decides. A token that names tasks or channels is confined to them: what would show or change
    /// others, a list above all, is not for it whatever its role.
    pub(super) fn allow(&self, action: &Action, namespace: &str) -> Result<(), Refusal> {
        let need = |permission| {
            if self.permissions.has(permission) {
                return Ok(());
            }
            Err(refused(format!("{namespace}:{permission} is needed")))
        };
        match action {
            Action::Watch(id) => {
                if self.is_for_task(id)? {
                    return Ok(());
                }
                need(Permission::View)
            }
            Action::Publish(id) => {
                self.is_for_task(id)?;
                need(Permission::Publish)
            }
            Action::Cancel(id) => {
                self.is_for_task(id)?;
                need(Permission::Cancel)
            }
            Action::List => {
                if self.tasks.is_some() {
                    return Err(refused(CONFINED));
                }
                need(Permission::List)
            }
            Action::Channel(name) => self.channel(name, need),
            Action::PublishToChannel(name) => {
                need(Permission::Publish)?;
                self.channel(name, need)
            }
            Action::Manage => {
                if self.tasks.is_some() || self.channels.is_some() {
                    return Err(refused(CONFINED));
                }
                need(Permission::Manage)
            }
        }
    }

    fn channel(
        &self,
        name: &str,
        need: impl Fn(Permission) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.is_for_channel(name)? {
            return Ok(());
        }
        if name == ChannelName::TASKS {
            need(Permission::List)?;
        }
        need(Permission::Channel)
    }

    /// Tells whether the token is for this task by name.
    fn is_for_task(&self, id: &TaskId) -> Result<bool, Refusal> {
        match &self.tasks {
            Some(tasks) if tasks.contain(id.as_str()) => Ok(true),
            Some(_) => Err(refused("The token is for other tasks")),
            None => Ok(false),
        }
    }

    fn is_for_channel(&self, name: &str) -> Result<bool, Refusal> {
        // Nobody means the list of all tasks by a pattern.
        let is_among = |channels: &Names| match name {
            ChannelName::TASKS => channels.list(name),
            name => channels.contain(name),
        };
        match (&self.channels, &self.tasks) {
            (Some(channels), _) if is_among(channels) => Ok(true),
            (Some(_), _) => Err(refused("The token is for other channels")),
            // A channel shows many tasks.
            (None, Some(_)) => Err(refused(CONFINED)),
            (None, None) => Ok(false),
        }
    }
}

fn refused(solution: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::Forbidden {
        solution: Some(solution.into()),
    }
}

const CONFINED: &str = "The token is for the tasks and channels that it names, and no more";
