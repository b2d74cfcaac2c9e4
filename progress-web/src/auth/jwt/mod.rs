//! JSON Web Tokens: who may do what, by what an issuer has signed.
//!
//! [`Jwt`] is the authorizer; [`Key`]s are what it verifies with.

mod builder;
mod claims;
mod file;
mod jwks;
mod key;
mod names;
mod permission;
mod rights;
mod source;
mod token;
#[cfg(feature = "jwks-url")]
mod url;

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use http::request::Parts;

#[cfg(feature = "jwks-url")]
pub use self::url::JwksUrlError;
pub use self::{
    builder::{BuildError, JwtBuilder},
    jwks::JwksError,
    key::{Algorithm, Key, KeyError},
    permission::Permission,
};
use self::{
    claims::Rules,
    rights::Rights,
    source::{Source, Unavailable},
    token::{Fault, Token},
};
use super::{Action, Authorizer, Principal, Refusal};

/// The authorizer that reads JSON Web Tokens.
///
/// It takes the token of `Authorization: Bearer`, of at most 8 KiB. What it checks it with is a key's
/// own affair: a token chooses neither the algorithm (there is no `none`) nor a key that it brings
/// or names the address of. A token with a `kid` is verified with the keys of that id or not at all.
/// One without is tried with up to 8 keys of its algorithm.
///
/// | Claim | Has to be |
/// | --- | --- |
/// | `exp` | there, and not past |
/// | `nbf`, `iat` | not in the future, where they are there |
/// | `iss` | one of [`issuer`](JwtBuilder::issuer), if any was set |
/// | `aud` | one of [`audience`](JwtBuilder::audience), or not there if none was set |
/// | `sub` | a text of 1 to 256 bytes, if it is there: [`Principal::subject`] |
/// | `roles` | role names; unknown ones allow nothing |
/// | `permissions`, `scope` | permissions such as `pipeline:view`, or `pipeline:*`; others allow nothing |
/// | `tasks`, `channels` | if there, at most 1 000 ids or patterns that end in `*` |
///
/// A claim of another form is refused, never passed over. Times have a
/// [`leeway`](JwtBuilder::leeway) of 30 s; when it is over, connections that the token has opened are
/// closed with 4013.
///
/// **What is allowed.** Each [`Action`] takes the [`Permission`] of its name. To publish into a
/// channel takes [`Permission::Publish`] besides [`Permission::Channel`], so that whoever may only
/// watch cannot; to watch the list of all tasks, the channel `_tasks`, takes [`Permission::List`]
/// besides.
///
/// A token with `tasks` is for these alone. To watch them takes no permission, to publish and to
/// cancel still do. Lists, managing, and channels that it does not name in `channels` are refused,
/// whatever its permissions, for they would show or change other tasks. A token with `channels`
/// watches these without a permission and no others, and does not manage.
///
/// **What a refusal says.** To the client: nothing of why a token is not taken, and which permission
/// is missing. To the log (`debug`): the reason, without any text of the token.
///
/// A cheap clone of shared state.
///
/// # Examples
///
/// ```
/// use progress_web::{Action, Authorizer, Refusal, jwt::{Jwt, Key}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jwt = Jwt::builder()
///     .key(Key::hs256("a secret for this example only!!")?.kid("2026-11"))
///     .issuer("https://id.example.org")
///     .audience("progress")
///     .build()?;
///
/// // {"iss":"https://id.example.org","aud":"progress","sub":"ada","exp":4102444800,"roles":["viewer"]}
/// let token = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjIwMjYtMTEifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUub3JnIiwiY\
///     XVkIjoicHJvZ3Jlc3MiLCJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsInJvbGVzIjpbInZpZXdlciJdfQ.4B\
///     D5OcG47D5WWQXomv9fLo-xl0taS__Im9zj9CXeZF8";
/// let (request, ()) = http::Request::get("/sse/progress/video-42")
///     .header("authorization", format!("Bearer {token}"))
///     .body(())?
///     .into_parts();
///
/// let watch = Action::Watch("video-42".parse()?);
/// let ada = jwt.authorize(&request, &watch).await?;
/// assert_eq!(ada.subject.as_deref(), Some("ada"));
///
/// let cancel = Action::Cancel("video-42".parse()?);
/// let refusal = jwt.authorize(&request, &cancel).await.unwrap_err();
/// let solution = Some("pipeline:cancel is needed".into());
/// assert_eq!(refusal, Refusal::Forbidden { solution });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Jwt {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rules: Rules,
    keys: Arc<[Key]>,
    sources: Vec<Source>,
}

impl Jwt {
    /// Makes an authorizer in steps; it needs a key or a place to get keys from.
    pub fn builder() -> JwtBuilder {
        JwtBuilder::new()
    }

    async fn verified(&self, request: &Parts) -> Result<Rights, Refusal> {
        match self.inner.rights(request).await {
            Ok(rights) => Ok(rights),
            Err(Fault::Refused(reason)) => {
                tracing::debug!(reason, "token refused");
                Err(Refusal::Unauthenticated)
            }
            Err(Fault::NoKeys) => {
                tracing::debug!(reason = "there are no keys", "token refused");
                Err(Refusal::Unavailable)
            }
        }
    }
}

#[async_trait]
impl Authorizer for Jwt {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let rights = self.verified(request).await?;
        rights.allow(action, &self.inner.rules.namespace)?;
        Ok(rights.principal())
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        Ok(self.verified(request).await?.principal())
    }
}

impl Inner {
    async fn rights(&self, request: &Parts) -> Result<Rights, Fault> {
        let token = Token::parse(Token::of(request)?)?;
        self.check_signature(&token).await?;
        self.rules.judge(&token.claims()?, SystemTime::now())
    }

    /// Looks where a key can be had soonest: here, in what is fresh, in what has to be fetched, and
    /// last, for a `kid` that is nowhere, in what may have changed since.
    async fn check_signature(&self, token: &Token<'_>) -> Result<(), Fault> {
        let mut search = Search::new(token);
        if search.ends_with(&self.keys) {
            return search.result();
        }
        let mut seen = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let keys = source.fresh();
            if keys.as_ref().is_some_and(|keys| search.ends_with(keys)) {
                return search.result();
            }
            seen.push(keys);
        }
        for (source, seen) in self.sources.iter().zip(&mut seen) {
            if seen.is_some() {
                continue;
            }
            match source.keys().await {
                Ok(keys) => {
                    if search.ends_with(&keys) {
                        return search.result();
                    }
                    *seen = Some(keys);
                }
                Err(Unavailable) => search.is_partial = true,
            }
        }
        if token.kid.is_some() {
            for (source, seen) in self.sources.iter().zip(&seen) {
                if let Some(keys) = source.newer(seen.as_ref()).await
                    && search.ends_with(&keys)
                {
                    return search.result();
                }
            }
        }
        search.is_partial |= self.sources.iter().any(Source::is_failing);
        search.result()
    }
}

/// The search for the key that a token is signed with.
struct Search<'a> {
    token: &'a Token<'a>,
    tries_left: usize,
    is_signed: bool,
    knows_kid: bool,
    /// There may be keys that could not be looked at.
    is_partial: bool,
}

impl<'a> Search<'a> {
    fn new(token: &'a Token<'a>) -> Self {
        Self {
            token,
            tries_left: MOST_TRIES,
            is_signed: false,
            knows_kid: false,
            is_partial: false,
        }
    }

    /// Tries these keys; tells whether no others have to be.
    fn ends_with(&mut self, keys: &[Key]) -> bool {
        for key in keys {
            self.knows_kid |= self.token.kid.is_some() && self.token.kid.as_deref() == key.id();
            if !self.is_signed && self.tries_left > 0 && self.token.is_for(key) {
                self.tries_left -= 1;
                self.is_signed = self.token.is_signed_with(key);
            }
        }
        self.is_signed || self.knows_kid || self.tries_left == 0
    }

    fn result(&self) -> Result<(), Fault> {
        if self.is_signed {
            Ok(())
        } else if self.knows_kid || self.tries_left == 0 || !self.is_partial {
            Err(Fault::Refused("no key verifies the token"))
        } else {
            Err(Fault::NoKeys)
        }
    }
}

/// How many keys a token without a `kid` is tried with: what a forged one costs at most.
const MOST_TRIES: usize = 8;
