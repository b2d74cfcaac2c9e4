//! Who clients are, and how they say it.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use progress_web::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Wire;

/// Whoever signs the tokens and grants that the server takes.
pub(super) struct Issuer {
    pub(super) keys: [(Algorithm, EncodingKey); 2],
    secret: Secret,
    files: TempDir,
    http: reqwest::Client,
}

/// A way to say who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rung {
    Header,
    Cookie,
    Subprotocol,
    FirstMessage,
    Grant,
    Ticket,
}

/// A client as the server knows it: who it is, and from where it comes.
#[derive(Debug, Clone)]
pub(super) struct Person {
    number: usize,
    pub(super) address: String,
    rung: Rung,
}

/// What one connection presents.
#[derive(Debug, Default)]
pub(super) struct Badge {
    pub(super) headers: Vec<(&'static str, String)>,
    /// Of the query.
    pub(super) parameter: Option<String>,
    pub(super) first_message: Option<String>,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let key = include_bytes!("../../../../progress-web/tests/jwt/keys/ec.private.pem");
        let keys = [
            (Algorithm::HS256, EncodingKey::from_secret(SECRET)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(key).unwrap()),
        ];
        let files = tempfile::tempdir().unwrap();
        let set = keys.each_ref().map(|(algorithm, key)| {
            let mut jwk = Jwk::from_encoding_key(key, *algorithm).unwrap();
            jwk.common.key_id = Some(format!("{algorithm:?}"));
            serde_json::to_value(jwk).unwrap()
        });
        fs::write(files.path().join(KEYS), json!({"keys": set}).to_string()).unwrap();
        fs::write(files.path().join(SECRET_FILE), SECRET).unwrap();
        Self {
            keys,
            secret: Secret::new(SECRET).unwrap(),
            files,
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
        }
    }

    /// What makes a server take them.
    pub(super) fn flags(&self) -> [String; 6] {
        let file = |name| self.files.path().join(name).to_str().unwrap().to_owned();
        [
            "--jwks".to_owned(),
            file(KEYS),
            "--secret-file".to_owned(),
            file(SECRET_FILE),
            "--jwt-audience".to_owned(),
            AUDIENCE.to_owned(),
        ]
    }

    /// A token for so long, signed by one of the keys in turn.
    pub(super) fn token(&self, number: usize, role: &str, lasts: Duration) -> String {
        let (algorithm, key) = &self.keys[number % self.keys.len()];
        sign(
            *algorithm,
            key,
            &claims(&format!("client-{number}"), role, lasts),
        )
    }

    /// A one-time ticket, asked for with a token.
    pub(super) async fn ticket(
        &self,
        host: &str,
        address: &str,
        task: &str,
        token: &str,
    ) -> String {
        let asked = self.http.post(format!("http://{host}/tickets"));
        let asked = asked.header(FORWARDED_FOR, address).bearer_auth(token);
        let answer = asked.json(&json!({"task_id": task})).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 201, "{answer}");
        answer["ticket"].as_str().unwrap().to_owned()
    }
}

impl Rung {
    /// All that a client of that sort can use, in turn.
    fn of(wire: Wire, number: usize) -> Self {
        let ways: &[Self] = match wire {
            Wire::WebSocket => &[
                Self::Header,
                Self::Cookie,
                Self::Subprotocol,
                Self::FirstMessage,
                Self::Grant,
                Self::Ticket,
            ],
            Wire::EventStream => &[Self::Header, Self::Cookie, Self::Grant, Self::Ticket],
        };
        // A client's number also says of what wire and kind it is.
        ways[number / KINDS % ways.len()]
    }
}

impl Person {
    pub(super) fn new(number: usize, wire: Wire) -> Self {
        Self {
            number,
            // Half as many as one address can have.
            address: format!("198.18.0.{}", number / 50),
            rung: Rung::of(wire, number),
        }
    }

    /// What to come with, for a connection of so long.
    pub(super) async fn badge(
        &self,
        issuer: &Issuer,
        host: &str,
        task: &str,
        lasts: Duration,
    ) -> Badge {
        let mut badge = Badge::default();
        badge.headers.push((FORWARDED_FOR, self.address.clone()));
        let token = issuer.token(self.number, "viewer", lasts);
        match self.rung {
            Rung::Header => badge.bearer(&token),
            Rung::Cookie => {
                let cookie = format!("theme=dark; progress_token={token}");
                badge.headers.push(("cookie", cookie));
            }
            Rung::Subprotocol => {
                let list = format!("progress.v1.json, bearer.{token}");
                badge.headers.push(("sec-websocket-protocol", list));
            }
            Rung::FirstMessage => {
                badge.first_message = Some(json!({"type": "auth", "token": token}).to_string());
            }
            Rung::Grant => {
                let subject = format!("client-{}", self.number);
                let grant = issuer
                    .secret
                    .grant_to(&subject, &task.parse().unwrap(), lasts)
                    .unwrap();
                badge.parameter = Some(format!("grant={}", grant.as_str()));
            }
            Rung::Ticket => {
                let ticket = issuer.ticket(host, &self.address, task, &token).await;
                badge.parameter = Some(format!("ticket={ticket}"));
            }
        }
        badge
    }
}

impl Badge {
    pub(super) fn bearer(&mut self, token: &str) {
        let header = ("authorization", format!("Bearer {token}"));
        self.headers.push(header);
    }

    /// The headers as HTTP/1.1 has them.
    pub(super) fn lines(&self) -> String {
        let lines = self.headers.iter();
        lines
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect()
    }
}

/// Claims of a token with which connections are open for so long.
pub(super) fn claims(subject: &str, role: &str, lasts: Duration) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({
        "sub": subject,
        "aud": AUDIENCE,
        // It is taken, and what it has opened stays open, until the leeway is over.
        "exp": (now + lasts).as_secs() - LEEWAY,
        "roles": [role],
    })
}

pub(super) fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(format!("{algorithm:?}"));
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

pub(super) const FORWARDED_FOR: &str = "x-forwarded-for";
const AUDIENCE: &str = "soak";
const SECRET: &[u8] = b"a secret of the soak test, of no use";
const KEYS: &str = "keys.json";
const SECRET_FILE: &str = "secret";
/// Seconds by which the server lets clocks be off.
const LEEWAY: u64 = 30;
/// After so many numbers wires and kinds come again.
pub(super) const KINDS: usize = 20;
