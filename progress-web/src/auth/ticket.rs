//! Tickets: what somebody may watch, in a URL that works once.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use progress_core::TaskId;
use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, time::Instant};

use super::{Action, Principal, Refusal, grant::unix};
use crate::{
    error::{ApiError, Code},
    gateway::Gateway,
};

/// What a ticket lets its holder watch: each topic has been authorised when it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Admitted {
    TaskId(TaskId),
    Channel(String),
}

impl Admitted {
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::TaskId(id) => Action::Watch(id.clone()),
            Self::Channel(name) => Action::Channel(name.clone()),
        }
    }
}

/// A ticket, as it is signed.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// Unlike any other.
    jti: String,
    topics: Vec<Admitted>,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// When the credentials end that it was asked for with: what it opens is closed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// The process that issued it, if no other can tell whether it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

impl Claims {
    fn holder(&self) -> Principal {
        Principal {
            subject: self.sub.clone(),
            expires_at: (self.until).map(|until| UNIX_EPOCH + Duration::from_secs(until)),
            ..Principal::default()
        }
    }
}

/// A ticket that was issued.
pub(crate) struct Ticket {
    pub(crate) text: String,
    pub(crate) expires_at: SystemTime,
    pub(crate) ttl: Duration,
}

/// Issues tickets, so many at a time.
#[derive(Debug)]
pub(crate) struct Tickets {
    limit: usize,
    /// When those that were issued are over, the oldest first: all live for the same time.
    out: Mutex<VecDeque<Instant>>,
}

impl Tickets {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            out: Mutex::default(),
        }
    }

    /// Issues a ticket for topics that its holder may watch, to be taken while they may.
    pub(crate) fn issue(
        &self,
        gateway: &Gateway,
        principal: &Principal,
        topics: Vec<Admitted>,
    ) -> Result<Ticket, ApiError> {
        self.count(Instant::now())?;
        let now = unix(SystemTime::now());
        let until = principal.expires_at.map(unix);
        let exp = until
            .map_or(u64::MAX, |until| until.max(now))
            .min(now + TTL.as_secs());
        let claims = Claims {
            jti: uuid::Uuid::new_v4().simple().to_string(),
            topics,
            exp,
            sub: principal.subject.clone(),
            until,
            node: alone(gateway),
        };
        Ok(Ticket {
            text: gateway.settings().secrets.current.seal(KIND, &claims),
            expires_at: UNIX_EPOCH + Duration::from_secs(exp),
            ttl: Duration::from_secs(exp - now),
        })
    }

    fn count(&self, now: Instant) -> Result<(), ApiError> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        while out.front().is_some_and(|over| *over <= now) {
            out.pop_front();
        }
        if out.len() >= self.limit {
            let limit = self.limit;
            let message = format!("too many tickets are out, the limit is {limit}");
            let next = out.front().map_or(TTL, |over| *over - now);
            let error = ApiError::new(Code::TooManyTickets, message).detail("limit", limit);
            return Err(error.retry_after(next));
        }
        out.push_back(now + TTL);
        Ok(())
    }
}

/// A ticket that came with a request: taken when it is first needed, and good for all of that
/// request then.
pub(crate) struct Presented {
    text: String,
    taken: OnceCell<Result<Claims, ApiError>>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").finish_non_exhaustive()
    }
}

impl Presented {
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            taken: OnceCell::new(),
        }
    }

    /// Who may do something because of it.
    pub(crate) async fn check(
        &self,
        gateway: &Gateway,
        action: &Action,
    ) -> Result<Principal, ApiError> {
        let claims = self.claims(gateway).await?;
        if !claims.topics.iter().any(|topic| topic.action() == *action) {
            return Err(Refusal::Forbidden { solution: None }.into());
        }
        Ok(claims.holder())
    }

    /// Who holds it, whatever they want.
    pub(crate) async fn holder(&self, gateway: &Gateway) -> Result<Principal, ApiError> {
        Ok(self.claims(gateway).await?.holder())
    }

    async fn claims(&self, gateway: &Gateway) -> Result<&Claims, ApiError> {
        let take = async || {
            let taken = self.take(gateway, SystemTime::now()).await;
            let outcome = if taken.is_ok() { "redeemed" } else { "refused" };
            gateway.counts().ticket(outcome);
            taken
        };
        let taken = self.taken.get_or_init(take).await;
        taken.as_ref().map_err(Clone::clone)
    }

    /// Uses it up, on all nodes. A broker that cannot be asked is no reason to let somebody in.
    async fn take(&self, gateway: &Gateway, now: SystemTime) -> Result<Claims, ApiError> {
        let secrets = &gateway.settings().secrets;
        let claims: Claims = secrets
            .open(KIND, &self.text)
            .ok_or(Refusal::Unauthenticated)?;
        let left = claims.exp.saturating_sub(unix(now));
        let is_long = left > TTL.as_secs() + SKEW || claims.jti.len() != JTI;
        if left == 0 || is_long || claims.node != alone(gateway) {
            return Err(Refusal::Unauthenticated.into());
        }
        // For longer than it counts: also on a node whose clock is behind it stays used up.
        let ttl = Duration::from_secs(left + 2 * SKEW);
        let name = format!("ticket:{}", claims.jti);
        match gateway.tracker().once(&name, ttl).await {
            Ok(true) => Ok(claims),
            Ok(false) => Err(Refusal::Unauthenticated.into()),
            Err(error) => {
                tracing::warn!(%error, "it cannot be told whether a ticket was used");
                Err(ApiError::transport_down("the broker cannot be reached"))
            }
        }
    }
}

/// The name of a process that no broker tells what others have used up. It is another with each start.
fn alone(gateway: &Gateway) -> Option<String> {
    let is_alone = gateway.tracker().transport_kind().is_none();
    is_alone.then(|| gateway.node().to_string())
}

const KIND: &str = "t1";
/// How long a ticket can be taken.
const TTL: Duration = Duration::from_secs(60);
/// Seconds by which the clocks of nodes may differ.
const SKEW: u64 = 30;
/// Characters of what tells tickets apart.
const JTI: usize = 32;

#[cfg(test)]
mod tests {
    use progress_core::ProgressTracker;
    use tokio::time::advance;

    use super::*;

    fn watch(id: &str) -> Action {
        Action::Watch(id.parse().unwrap())
    }

    fn topics() -> Vec<Admitted> {
        vec![
            Admitted::TaskId("a".parse().unwrap()),
            Admitted::Channel("jobs".into()),
        ]
    }

    fn code(result: Result<Principal, ApiError>) -> Code {
        result.unwrap_err().code()
    }

    #[tokio::test]
    async fn a_ticket_is_good_for_its_topics_and_once() {
        let gateway = Gateway::new(ProgressTracker::new());
        let until = UNIX_EPOCH + Duration::from_secs(unix(SystemTime::now()) + 600);
        let principal = Principal::of("ada").expires_at(until);
        let tickets = Tickets::new(10);
        let ticket = tickets.issue(&gateway, &principal, topics()).unwrap();
        let first = Presented::new(ticket.text.clone());
        let check = async |presented: &Presented, action| presented.check(&gateway, &action).await;
        assert_eq!(check(&first, watch("a")).await, Ok(principal.clone()));
        let jobs = Action::Channel("jobs".into());
        assert_eq!(check(&first, jobs).await, Ok(principal));
        for other in [
            watch("b"),
            Action::List,
            Action::Publish("a".parse().unwrap()),
        ] {
            assert_eq!(code(check(&first, other).await), Code::Forbidden);
        }
        let again = Presented::new(ticket.text);
        assert_eq!(code(check(&again, watch("a")).await), Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_ticket_is_over_after_a_minute_and_a_grant_is_none() {
        let gateway = Gateway::new(ProgressTracker::new());
        let secrets = &gateway.settings().secrets;
        let ticket = Tickets::new(10)
            .issue(&gateway, &Principal::anonymous(), topics())
            .unwrap();
        let late = Presented::new(ticket.text)
            .take(&gateway, ticket.expires_at)
            .await;
        assert_eq!(late.unwrap_err().code(), Code::Unauthenticated);
        let grant = secrets
            .current
            .grant(&"a".parse().unwrap(), Duration::from_secs(60));
        let grant = Presented::new(grant.as_str().to_owned());
        let refused = grant.check(&gateway, &watch("a")).await;
        assert_eq!(code(refused), Code::Unauthenticated);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_out_at_a_time() {
        let gateway = Gateway::new(ProgressTracker::new());
        let tickets = Tickets::new(2);
        let issue = || tickets.issue(&gateway, &Principal::anonymous(), topics());
        issue().unwrap();
        advance(Duration::from_secs(20)).await;
        issue().unwrap();
        let refused = issue().err().unwrap();
        assert_eq!(refused.code(), Code::TooManyTickets);
        let wait = refused.to_response();
        assert_eq!(wait.headers()["retry-after"], "40");
        advance(Duration::from_secs(40)).await;
        issue().unwrap();
        assert!(issue().is_err());
    }
}
