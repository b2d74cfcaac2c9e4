//! Grants: the right to watch one task for some minutes, in a URL.

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use progress_core::TaskId;
use serde::{Deserialize, Serialize};

use super::{
    Principal, Refusal,
    secret::{Secret, Secrets},
};

/// The right to watch one task for some minutes, for clients that cannot send a header: it stands
/// in the query, `?grant=…`, and can be used again and again until it expires, so that an
/// `EventSource` can come back by itself.
///
/// Whoever has it has the right: it is not shown by `Debug`, and is to be handed only to whom it is
/// meant for. It is text of the form `g1.<claims>.<signature>`: the claims, as base64url without
/// padding, are the JSON object
///
/// ```json
/// {"task_id":"video-42","iat":1795442173,"exp":1795443073,"sub":"user-7"}
/// ```
///
/// with times in seconds since 1970, at most 15 minutes apart, and `sub` optional; the signature
/// is the HMAC-SHA256 under the [`Secret`] of all that stands before its dot, in the same base64url.
///
/// ```
/// use std::time::Duration;
/// use progress_core::{ProgressTracker, TaskId};
/// use progress_web::{Gateway, Secret};
///
/// let secret = Secret::new("0123456789abcdef0123456789abcdef")?;
/// let gateway = Gateway::builder(ProgressTracker::new()).secret(secret).build();
/// let task: TaskId = "video-42".parse()?;
/// let grant = gateway.grant(&task, Duration::from_secs(300));
/// let url = format!("{}?grant={}", gateway.urls(&task).sse_url, grant.as_str());
/// assert!(url.starts_with("/sse/progress/video-42?grant=g1."));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    text: String,
    expires_at: SystemTime,
}

impl Grant {
    /// The longest that a grant can be used.
    pub const MAX_TTL: Duration = Duration::from_secs(15 * 60);

    /// The most bytes of the subject that a grant names.
    pub const MAX_SUBJECT: usize = SUBJECT;

    /// Returns what is to stand in the query; its characters need no escape there.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns when it ends: a connection that was opened with it is closed then, with 4013.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    task_id: TaskId,
    iat: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
}

impl Secret {
    /// Grants the right to watch a task for so long, to [`Grant::MAX_TTL`]; also for a task that
    /// does not exist yet.
    #[must_use]
    pub fn grant(&self, task: &TaskId, ttl: Duration) -> Grant {
        self.grant_at(task, None, ttl, SystemTime::now())
    }

    /// The same, and says to whom: their connections count together, and logs name them.
    ///
    /// # Errors
    ///
    /// [`SubjectTooLong`] if there are more bytes than [`Grant::MAX_SUBJECT`].
    pub fn grant_to(
        &self,
        subject: &str,
        task: &TaskId,
        ttl: Duration,
    ) -> Result<Grant, SubjectTooLong> {
        if subject.len() > Grant::MAX_SUBJECT {
            return Err(SubjectTooLong { len: subject.len() });
        }
        Ok(self.grant_at(task, Some(subject.to_owned()), ttl, SystemTime::now()))
    }

    fn grant_at(
        &self,
        task: &TaskId,
        sub: Option<String>,
        ttl: Duration,
        now: SystemTime,
    ) -> Grant {
        let iat = unix(now);
        let exp = iat + ttl.min(Grant::MAX_TTL).as_secs();
        let claims = Claims {
            task_id: task.clone(),
            iat,
            exp,
            sub,
        };
        Grant {
            text: self.seal(KIND, &claims),
            expires_at: UNIX_EPOCH + Duration::from_secs(exp),
        }
    }
}

/// A subject is too long for a [`Grant`] to name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectTooLong {
    /// The bytes it has.
    pub len: usize,
}

impl fmt::Display for SubjectTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, most) = (self.len, Grant::MAX_SUBJECT);
        write!(
            f,
            "the subject has {len} bytes, a grant takes at most {most}"
        )
    }
}

impl Error for SubjectTooLong {}

/// Who may watch a task because of a grant.
pub(crate) fn check(
    secrets: &Secrets,
    grant: &str,
    task: &TaskId,
    now: SystemTime,
) -> Result<Principal, Refusal> {
    let claims: Claims = secrets.open(KIND, grant).ok_or(Refusal::Unauthenticated)?;
    let now = unix(now);
    let is_short = claims
        .exp
        .checked_sub(claims.iat)
        .is_some_and(|ttl| ttl <= Grant::MAX_TTL.as_secs());
    let is_named = claims.sub.as_ref().is_none_or(|sub| sub.len() <= SUBJECT);
    if now >= claims.exp || claims.iat > now + SKEW || !is_short || !is_named {
        return Err(Refusal::Unauthenticated);
    }
    if claims.task_id != *task {
        return Err(Refusal::Forbidden { solution: None });
    }
    Ok(Principal {
        subject: claims.sub,
        expires_at: Some(UNIX_EPOCH + Duration::from_secs(claims.exp)),
        ..Principal::default()
    })
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

const KIND: &str = "g1";
/// Seconds that the clock of another service may be ahead.
const SKEW: u64 = 30;
/// Bytes of a subject.
pub(super) const SUBJECT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::default()
    }

    fn id(id: &str) -> TaskId {
        id.parse().unwrap()
    }

    #[test]
    fn a_grant_is_for_its_task_and_its_time() {
        let secrets = secrets();
        let now = UNIX_EPOCH + Duration::from_secs(1_795_442_173);
        let ttl = Duration::from_secs(60);
        let grant = secrets
            .current
            .grant_at(&id("a"), Some("user-7".into()), ttl, now);
        let check = |task: &str, at| check(&secrets, grant.as_str(), &id(task), at);
        let principal = check("a", now).unwrap();
        assert_eq!(principal.subject.as_deref(), Some("user-7"));
        assert_eq!(principal.expires_at, Some(now + ttl));
        assert_eq!(check("b", now), Err(Refusal::Forbidden { solution: None }));
        let unauthenticated = Err(Refusal::Unauthenticated);
        assert_eq!(check("a", now + ttl), unauthenticated);
        assert!(check("a", now + ttl - Duration::from_secs(1)).is_ok());
        // Of a service whose clock is ahead, and of one whose clock cannot be right.
        assert!(check("a", now - Duration::from_secs(30)).is_ok());
        assert_eq!(check("a", now - Duration::from_secs(31)), unauthenticated);
    }

    #[test]
    fn no_grant_is_for_longer_than_fifteen_minutes() {
        let secrets = secrets();
        let now = SystemTime::now();
        let grant = secrets.current.grant_at(&id("a"), None, Duration::MAX, now);
        let most = now + Grant::MAX_TTL;
        assert!(grant.expires_at() <= most && grant.expires_at() > most - Duration::from_secs(1));
        // Signed by somebody else with more generous ideas.
        let claims = Claims {
            task_id: id("a"),
            iat: unix(now),
            exp: unix(now) + 901,
            sub: None,
        };
        let long = secrets.current.seal(KIND, &claims);
        let refused = check(&secrets, &long, &id("a"), now);
        assert_eq!(refused, Err(Refusal::Unauthenticated));
    }

    #[test]
    fn a_subject_has_at_most_256_bytes() {
        let secrets = secrets();
        let now = SystemTime::now();
        let taken = |bytes: usize| {
            let sub = Some("s".repeat(bytes));
            let grant = secrets.current.grant_at(&id("a"), sub, Grant::MAX_TTL, now);
            check(&secrets, grant.as_str(), &id("a"), now).is_ok()
        };
        assert!(taken(256) && !taken(257));
    }

    #[test]
    fn a_longer_subject_gets_no_grant() {
        let ttl = Duration::from_secs(60);
        let granted = Secret::random().grant_to(&"s".repeat(257), &id("a"), ttl);
        let error = granted.unwrap_err();
        let text = "the subject has 257 bytes, a grant takes at most 256";
        assert_eq!((error.len, &*error.to_string()), (257, text));
    }

    #[test]
    fn a_grant_of_another_secret_is_none_unless_that_is_known() {
        let other = Secret::random();
        let grant = other.grant(&id("a"), Duration::from_secs(60));
        let mut secrets = secrets();
        let now = SystemTime::now();
        let refused = check(&secrets, grant.as_str(), &id("a"), now);
        assert_eq!(refused, Err(Refusal::Unauthenticated));
        secrets.others.push(other);
        assert!(check(&secrets, grant.as_str(), &id("a"), now).is_ok());
    }

    #[test]
    fn a_grant_can_be_made_by_anybody_who_has_the_secret() {
        // Made by Python: hmac.new(secret, b"g1." + claims, "sha256").
        let secret = Secret::new("0123456789abcdef0123456789abcdef").unwrap();
        let secrets = Secrets {
            current: secret,
            others: Vec::new(),
        };
        let at = UNIX_EPOCH + Duration::from_secs(1_795_442_200);
        let principal = check(&secrets, MADE_ELSEWHERE, &id("video-42"), at).unwrap();
        assert_eq!(principal.subject.as_deref(), Some("user-7"));
    }

    #[test]
    fn one_changed_character_makes_it_none() {
        let secrets = secrets();
        let now = SystemTime::now();
        let grant = secrets.current.grant(&id("a"), Duration::from_secs(60));
        for at in 0..grant.as_str().len() {
            let mut text = grant.as_str().to_owned().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).unwrap();
            assert!(check(&secrets, &text, &id("a"), now).is_err(), "{at}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("0123456789abcdef0123456789abcdef").unwrap();
        let grant = secret.grant(&id("a"), Duration::from_secs(60));
        let shown = format!("{secret:?} {grant:?}");
        assert!(
            !shown.contains("0123456789") && !shown.contains("g1."),
            "{shown}"
        );
    }

    const MADE_ELSEWHERE: &str = "g1.eyJ0YXNrX2lkIjoidmlkZW8tNDIiLCJpYXQiOjE3OTU0NDIxNzMsImV4cCI6MTc5NTQ0MzA3Mywic3ViIjoidXNlci03In0.7H2JcWHGPYGIYC6dC8eQcUab_4S7DEBpAgb42Bz6LvA";
}
