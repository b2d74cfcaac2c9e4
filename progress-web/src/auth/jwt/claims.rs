//! What a token says, judged.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use progress_core::{ChannelName, TaskId};
use serde_json::{Map, Value};

use super::{
    names::Names,
    permission::{Permissions, Roles},
    rights::Rights,
    token::Fault,
};
use crate::auth::grant::SUBJECT;

/// What tokens have to say, and where it stands in them.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) leeway: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) issuers: HashSet<String>,
    pub(super) audiences: HashSet<String>,
    pub(super) namespace: String,
    pub(super) roles: Roles,
    pub(super) roles_claim: String,
    pub(super) permissions_claim: String,
    pub(super) scope_claim: String,
    pub(super) tasks_claim: String,
    pub(super) channels_claim: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(30),
            max_age: None,
            issuers: HashSet::new(),
            audiences: HashSet::new(),
            namespace: "pipeline".into(),
            roles: Roles::default(),
            roles_claim: "roles".into(),
            permissions_claim: "permissions".into(),
            scope_claim: "scope".into(),
            tasks_claim: "tasks".into(),
            channels_claim: "channels".into(),
        }
    }
}

impl Rules {
    /// Judges the claims of a token whose signature is good. What is not understood is refused.
    pub(super) fn judge(&self, claims: &Claims, now: SystemTime) -> Result<Rights, Fault> {
        let ends = self.times(claims, now)?;
        self.issuer(claims)?;
        self.audience(claims)?;
        let names = |claim: &str, is_name| {
            let claim = find(claims, claim)?;
            claim.map(|claim| Names::read(claim, is_name)).transpose()
        };
        let roles = match find(claims, &self.roles_claim)? {
            Some(roles) => words(roles)?,
            None => Vec::new(),
        };
        Ok(Rights {
            subject: subject(claims)?,
            ends,
            permissions: self.permissions(claims, &roles)?,
            roles: roles.into_iter().map(str::to_owned).collect(),
            tasks: names(&self.tasks_claim, |name| name.parse::<TaskId>().is_ok())?,
            channels: names(&self.channels_claim, |name| {
                name.parse::<ChannelName>().is_ok()
            })?,
        })
    }

    /// Judges `exp`, `nbf` and `iat`; tells when the token ends, the leeway included, so that what
    /// was opened late is not closed at once.
    fn times(&self, claims: &Claims, now: SystemTime) -> Result<SystemTime, Fault> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = time(claims, "exp")?.ok_or(Fault::Refused("the token has no `exp`"))?;
        let issued = time(claims, "iat")?;
        let mut ends = expires;
        if let Some(max_age) = self.max_age {
            let issued = issued.ok_or(Fault::Refused("the token has no `iat`"))?;
            ends = ends.min(issued.saturating_add(max_age));
        }
        let ends = ends.saturating_add(self.leeway);
        if ends <= now {
            return Err(Fault::Refused("the token has expired"));
        }
        let latest = now.saturating_add(self.leeway);
        if time(claims, "nbf")?.is_some_and(|begins| begins > latest) {
            return Err(Fault::Refused("the token is not valid yet"));
        }
        if issued.is_some_and(|issued| issued > latest) {
            return Err(Fault::Refused("the token was issued in the future"));
        }
        UNIX_EPOCH
            .checked_add(ends)
            .ok_or(Fault::Refused("the token ends after all time"))
    }

    fn issuer(&self, claims: &Claims) -> Result<(), Fault> {
        match claims.get("iss") {
            _ if self.issuers.is_empty() => Ok(()),
            Some(Value::String(issuer)) if self.issuers.contains(issuer) => Ok(()),
            _ => Err(Fault::Refused("the token is of another issuer")),
        }
    }

    /// A token for somebody else is refused also where nobody said who we are.
    fn audience(&self, claims: &Claims) -> Result<(), Fault> {
        let ours = |value: &Value| match value {
            Value::String(audience) => self.audiences.contains(audience),
            _ => false,
        };
        let is_ours = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::Array(audiences)) => {
                audiences.iter().all(Value::is_string) && audiences.iter().any(ours)
            }
            Some(audience) => ours(audience),
        };
        if is_ours {
            return Ok(());
        }
        Err(Fault::Refused("the token is for another audience"))
    }

    fn permissions(&self, claims: &Claims, roles: &[&str]) -> Result<Permissions, Fault> {
        let mut all = Permissions::default();
        for role in roles {
            all = all.and(self.roles.of(role));
        }
        for claim in [&self.permissions_claim, &self.scope_claim] {
            if let Some(permissions) = find(claims, claim)? {
                for permission in words(permissions)? {
                    all = all.and(Permissions::named(permission, &self.namespace));
                }
            }
        }
        Ok(all)
    }
}

/// A token's claims. Of two with the same name the last counts.
pub(super) type Claims = Map<String, Value>;

/// Finds a claim by its name, else by its path (`realm_access.roles`). A name may itself have dots,
/// as those that are URLs do. Where the path leads into what has no names it is a fault: a claim
/// that was meant, in a form that is not understood, must not count as none.
fn find<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a Value>, Fault> {
    if let Some(claim) = claims.get(name) {
        return Ok(Some(claim));
    }
    let mut path = name.split('.');
    let mut found = path.next().and_then(|first| claims.get(first));
    for name in path {
        found = match found {
            Some(Value::Object(claims)) => claims.get(name),
            Some(_) => return Err(Fault::Refused("a claim stands in what is no object")),
            None => return Ok(None),
        };
    }
    Ok(found)
}

/// Reads words, from a list of them or a text with spaces or commas in between.
fn words(value: &Value) -> Result<Vec<&str>, Fault> {
    const MALFORMED: Fault = Fault::Refused("a claim of roles or permissions is no text or list");
    match value {
        Value::String(text) => Ok(text
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect()),
        Value::Array(words) => words
            .iter()
            .map(|word| word.as_str().ok_or(MALFORMED))
            .collect(),
        _ => Err(MALFORMED),
    }
}

fn subject(claims: &Claims) -> Result<Option<String>, Fault> {
    match claims.get("sub") {
        None => Ok(None),
        Some(Value::String(subject))
            if !subject.is_empty()
                && subject.len() <= SUBJECT
                && !subject.contains(char::is_control) =>
        {
            Ok(Some(subject.clone()))
        }
        Some(_) => Err(Fault::Refused("the token's subject is malformed")),
    }
}

/// Reads seconds since 1970. A fraction of a second counts for nothing.
fn time(claims: &Claims, name: &str) -> Result<Option<Duration>, Fault> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = claim.as_u64().or_else(|| {
        let seconds = claim.as_f64()?;
        // The bound is below what a u64 holds, and a comparison with NaN fails.
        (0.0..=LATEST as f64)
            .contains(&seconds)
            .then_some(seconds as u64)
    });
    match seconds {
        Some(seconds) if seconds <= LATEST => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(Fault::Refused("a time of the token is malformed")),
    }
}

/// The end of the year 9999, in seconds since 1970.
const LATEST: u64 = 253_402_300_799;
