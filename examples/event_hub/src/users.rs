//! Who may hear and do what.
//!
//! Tokens are verified by [`Jwt`]; what their roles allow is decided here, for the routes of the
//! protocol (as an [`Authorizer`]) and for the hub's own by one table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use clap::ValueEnum;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use progress_web::{Action, Authorizer, Principal, Refusal, async_trait, jwt::Jwt};
use serde::Serialize;

use crate::channel::Channel;

/// What a token calls its holder, in the claim `roles`. Each may what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hears of jobs, pictures, sessions and the queue.
    Viewer,
    /// Hears of approvals too, and selects, approves and rejects pictures.
    Reviewer,
    /// Hears all, starts and changes all, and manages clients.
    Operator,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Reviewer, Self::Operator];

    /// Returns the name in tokens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Operator => "operator",
        }
    }

    /// The most that these names allow; a name that is none of ours allows nothing.
    fn highest(names: &[String]) -> Option<Self> {
        let known = |name: &String| Self::ALL.into_iter().find(|role| role.as_str() == name);
        names.iter().filter_map(known).max()
    }

    /// Who hears a channel.
    #[must_use]
    pub fn of_channel(channel: Channel) -> Self {
        match channel {
            Channel::Jobs | Channel::Photos | Channel::Sessions | Channel::Queue => Self::Viewer,
            Channel::Approval => Self::Reviewer,
            Channel::System | Channel::Export => Self::Operator,
        }
    }

    /// Who may do what the protocol's routes do; none for what nobody may: events are the hub's own,
    /// and one that anybody could publish would prove nothing.
    fn of_action(action: &Action) -> Option<Self> {
        match action {
            Action::Watch(_) | Action::List => Some(Self::Viewer),
            Action::Channel(name) => Channel::named(name).map(Self::of_channel),
            Action::Cancel(_) | Action::Manage => Some(Self::Operator),
            _ => None,
        }
    }
}

/// Whoever asks, as far as it is known.
#[derive(Debug, Clone)]
pub struct User {
    /// Shown to others as who decided something.
    pub name: String,
    /// Roles that are none of ours, or no role, allow nothing.
    pub role: Option<Role>,
}

/// Decides. A cheap clone.
#[derive(Debug, Clone)]
pub struct Users {
    tokens: Option<Jwt>,
}

impl Users {
    /// Everybody is an operator: for a demonstration on one's own machine.
    #[must_use]
    pub fn open() -> Self {
        Self { tokens: None }
    }

    /// Whoever has a token.
    #[must_use]
    pub fn with_tokens(tokens: Jwt) -> Self {
        Self {
            tokens: Some(tokens),
        }
    }

    /// Whether everybody may everything.
    pub(crate) fn are_all(&self) -> bool {
        self.tokens.is_none()
    }

    /// Tells who asks, by the header `Authorization` alone: what changes something is not asked for
    /// by a cookie, which other sites could have a browser send.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not known.
    pub async fn who(&self, request: &Parts) -> Result<User, Refusal> {
        let principal = self.authenticate(request).await?;
        Ok(User {
            role: self.role(&principal),
            name: principal.subject.unwrap_or_else(|| "anonymous".into()),
        })
    }

    fn role(&self, principal: &Principal) -> Option<Role> {
        match self.tokens {
            Some(_) => Role::highest(&principal.roles),
            None => Some(Role::Operator),
        }
    }
}

impl User {
    /// Refuses whoever may not do what this role may.
    ///
    /// # Errors
    ///
    /// [`Refusal::Forbidden`], which names the role.
    pub fn need(&self, role: Role) -> Result<(), Refusal> {
        match self.role >= Some(role) {
            true => Ok(()),
            false => Err(forbidden(format!("The role {} is needed", role.as_str()))),
        }
    }
}

#[async_trait]
impl Authorizer for Users {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let principal = self.authenticate(request).await?;
        let Some(needed) = Role::of_action(action) else {
            return Err(forbidden("This is not for anybody here".to_owned()));
        };
        match self.role(&principal) >= Some(needed) {
            true => Ok(principal),
            false => Err(forbidden(format!("The role {} is needed", needed.as_str()))),
        }
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        match &self.tokens {
            Some(tokens) => tokens.authenticate(request).await,
            None => Ok(Principal::anonymous()),
        }
    }
}

fn forbidden(solution: String) -> Refusal {
    Refusal::Forbidden {
        solution: Some(solution.into()),
    }
}

/// What a token of [`mint`] says.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    roles: [&'static str; 1],
    iat: u64,
    exp: u64,
}

/// Signs a token (HS256), to try the hub with.
///
/// # Errors
///
/// If it cannot be signed.
pub fn mint(
    secret: &[u8],
    role: Role,
    subject: &str,
    ttl: Duration,
) -> Result<String, jsonwebtoken::errors::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let claims = Claims {
        sub: subject,
        roles: [role.as_str()],
        iat: now,
        exp: now.saturating_add(ttl.as_secs()),
    };
    let header = Header::new(Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_hears_its_channels_and_no_others() {
        let heard = |role: Role| {
            let hears = |channel: &Channel| role >= Role::of_channel(*channel);
            Channel::ALL.into_iter().filter(hears).count()
        };
        let counts = Role::ALL.map(heard);
        assert_eq!(counts, [4, 5, 7]);
        assert!(Role::of_action(&Action::Channel("_tasks".into())).is_none());
        assert!(Role::of_action(&Action::Channel("other".into())).is_none());
    }

    #[test]
    fn the_highest_known_role_counts() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(Role::highest(&names(&[])), None);
        assert_eq!(Role::highest(&names(&["root", "Operator"])), None);
        let both = names(&["viewer", "reviewer", "guest"]);
        assert_eq!(Role::highest(&both), Some(Role::Reviewer));
        let nobody = User {
            name: "eve".into(),
            role: None,
        };
        assert!(nobody.need(Role::Viewer).is_err());
    }

    #[test]
    fn nobody_publishes_what_only_the_hub_can_know() {
        let task = progress_core::TaskId::random();
        assert!(Role::of_action(&Action::Publish(task)).is_none());
        assert!(Role::of_action(&Action::PublishToChannel("approval".into())).is_none());
    }
}
