//! Who may do what: a token for each task, one for whoever runs the service, or everybody everything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use progress_core::TaskId;
use progress_web::{
    Action, Authorizer, Open, Principal, Refusal, async_trait,
    jwt::{BuildError, Jwt, Key, KeyError, Permission},
};
use serde::Serialize;

/// Decides. A cheap clone.
#[derive(Clone)]
pub struct Users(Kind);

#[derive(Clone)]
enum Kind {
    Open(Open),
    Tokens { jwt: Jwt, signer: Box<EncodingKey> },
}

/// A token, and for how long it counts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Token {
    pub(crate) token: String,
    /// In seconds from now.
    pub(crate) token_expires_in: u64,
}

impl Users {
    /// Everybody may everything: on one's own machine.
    #[must_use]
    pub fn open() -> Self {
        Self(Kind::Open(Open::new().listing().cancelling().managing()))
    }

    /// Whoever has a token that was signed with this secret (HS256, 32 bytes or more): of a task, or as an operator.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if the secret is too short.
    pub fn with_secret(secret: &[u8]) -> Result<Self, SecretError> {
        let key = Key::hs256(secret).map_err(SecretError::Key)?;
        // To see the counts is to manage. Nobody publishes but the service itself.
        use Permission::{Cancel, Channel, List, Manage, View};
        let all = [View, List, Cancel, Channel, Manage];
        let jwt = Jwt::builder().key(key).role(OPERATOR, all).build();
        Ok(Self(Kind::Tokens {
            jwt: jwt.map_err(SecretError::Build)?,
            signer: Box::new(EncodingKey::from_secret(secret)),
        }))
    }

    /// Whether everybody may everything.
    #[must_use]
    pub fn are_all(&self) -> bool {
        matches!(self.0, Kind::Open(_))
    }

    /// The token of whoever started a task: to watch it, to stop it, and to have what came of it. None where none is needed.
    pub(crate) fn of_task(
        &self,
        task: &TaskId,
        ttl: Duration,
    ) -> Result<Option<Token>, jsonwebtoken::errors::Error> {
        let claims = |iat, exp| Claims {
            sub: "creator",
            tasks: Some([task.as_str()]),
            permissions: Some(["pipeline:cancel"]),
            roles: None,
            iat,
            exp,
        };
        self.sign(ttl, claims)
    }

    /// The token of whoever runs the service: to list tasks, to stop any, and to see the counts. None where none is needed.
    ///
    /// # Errors
    ///
    /// If it cannot be signed.
    pub fn of_operator(
        &self,
        ttl: Duration,
    ) -> Result<Option<String>, jsonwebtoken::errors::Error> {
        let claims = |iat, exp| Claims {
            sub: OPERATOR,
            tasks: None,
            permissions: None,
            roles: Some([OPERATOR]),
            iat,
            exp,
        };
        Ok(self.sign(ttl, claims)?.map(|token| token.token))
    }

    fn sign<'a>(
        &self,
        ttl: Duration,
        claims: impl FnOnce(u64, u64) -> Claims<'a>,
    ) -> Result<Option<Token>, jsonwebtoken::errors::Error> {
        let Kind::Tokens { signer, .. } = &self.0 else {
            return Ok(None);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let claims = claims(now, now.saturating_add(ttl.as_secs()));
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, signer)?;
        Ok(Some(Token {
            token,
            token_expires_in: ttl.as_secs(),
        }))
    }
}

#[async_trait]
impl Authorizer for Users {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        match &self.0 {
            Kind::Open(open) => open.authorize(request, action).await,
            Kind::Tokens { jwt, .. } => jwt.authorize(request, action).await,
        }
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        match &self.0 {
            Kind::Open(open) => open.authenticate(request).await,
            Kind::Tokens { jwt, .. } => jwt.authenticate(request).await,
        }
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users")
            .field("are_all", &self.are_all())
            .finish_non_exhaustive()
    }
}

/// A secret cannot be used.
#[derive(Debug)]
pub enum SecretError {
    /// It is too short.
    Key(KeyError),
    /// The authorizer cannot be made of it.
    Build(BuildError),
}

impl std::fmt::Display for SecretError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the secret cannot be used")
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            Self::Build(error) => Some(error),
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<[&'a str; 1]>,
    iat: u64,
    exp: u64,
}

const OPERATOR: &str = "operator";
