//! What roles and permissions there are.

use std::{collections::HashMap, fmt};

/// What a token can allow. Its name there has a namespace before it: `pipeline:view`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Permission {
    /// Watch tasks: [`Action::Watch`](crate::Action::Watch).
    View,
    /// List tasks: [`Action::List`](crate::Action::List).
    List,
    /// Start tasks and publish their events: [`Action::Publish`](crate::Action::Publish).
    Publish,
    /// Ask for cancellation: [`Action::Cancel`](crate::Action::Cancel).
    Cancel,
    /// Watch channels: [`Action::Channel`](crate::Action::Channel). To publish into one,
    /// [`Action::PublishToChannel`](crate::Action::PublishToChannel), takes [`Publish`](Self::Publish)
    /// besides.
    Channel,
    /// Manage tasks and clients: [`Action::Manage`](crate::Action::Manage).
    Manage,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::View,
        Self::List,
        Self::Publish,
        Self::Cancel,
        Self::Channel,
        Self::Manage,
    ];

    /// Returns the name, without a namespace.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::List => "list",
            Self::Publish => "publish",
            Self::Cancel => "cancel",
            Self::Channel => "channel",
            Self::Manage => "manage",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Permissions(u8);

impl Permissions {
    pub(super) fn has(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    pub(super) fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Reads a permission's name: `{namespace}:view`, or `{namespace}:*` for all. What is another
    /// service's gives none here.
    pub(super) fn named(name: &str, namespace: &str) -> Self {
        let Some(name) = name
            .strip_prefix(namespace)
            .and_then(|name| name.strip_prefix(':'))
        else {
            return Self::default();
        };
        let fits = |permission: &Permission| name == "*" || name == permission.as_str();
        Permission::ALL.into_iter().filter(fits).collect()
    }

    fn bit(permission: Permission) -> u8 {
        1 << permission as u8
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<T: IntoIterator<Item = Permission>>(permissions: T) -> Self {
        let bits = permissions.into_iter().map(Self::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

/// What each role may do.
#[derive(Debug, Clone)]
pub(super) struct Roles(HashMap<String, Permissions>);

impl Roles {
    pub(super) fn none() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn set(&mut self, role: String, permissions: Permissions) {
        self.0.insert(role, permissions);
    }

    /// What the role may do: nothing, if it is not known here.
    pub(super) fn of(&self, role: &str) -> Permissions {
        self.0.get(role).copied().unwrap_or_default()
    }
}

impl Default for Roles {
    fn default() -> Self {
        use Permission::{Channel, List, Manage, View};

        let mut roles = Self::none();
        let all = Permission::ALL.into_iter();
        roles.set("admin".into(), all.clone().collect());
        let operator = all.filter(|permission| *permission != Manage);
        roles.set("operator".into(), operator.collect());
        roles.set("viewer".into(), [View, List, Channel].into_iter().collect());
        roles
    }
}
