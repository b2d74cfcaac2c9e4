//! Keys, tokens and requests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Request, header, request::Parts};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use progress_web::{
    Action, Authorizer, Principal, Refusal,
    jwt::{Jwt, JwtBuilder, Key},
};
use serde_json::{Value, json};

/// Whoever signs in a test.
pub(crate) struct Issuer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) public: Key,
}

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("keys/", $name, ".pem"))
    };
}
pub(crate) use pem;

impl Issuer {
    pub(crate) fn rs256() -> Self {
        Self {
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem!("rsa.private")).unwrap(),
            public: Key::rs256(pem!("rsa.public")).unwrap(),
        }
    }

    /// Another one of the same algorithm.
    pub(crate) fn rs256_next() -> Self {
        Self {
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem!("rsa-next.private")).unwrap(),
            public: Key::rs256(pem!("rsa-next.public")).unwrap(),
        }
    }

    pub(crate) fn es256() -> Self {
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_pem(pem!("ec.private")).unwrap(),
            public: Key::es256(pem!("ec.public")).unwrap(),
        }
    }

    pub(crate) fn es256_next() -> Self {
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_pem(pem!("ec-next.private")).unwrap(),
            public: Key::es256(pem!("ec-next.public")).unwrap(),
        }
    }

    pub(crate) fn eddsa() -> Self {
        Self {
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_pem(pem!("ed.private")).unwrap(),
            public: Key::eddsa(pem!("ed.public")).unwrap(),
        }
    }

    pub(crate) fn hs256() -> Self {
        Self {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(SECRET),
            public: Key::hs256(SECRET).unwrap(),
        }
    }

    /// One of each algorithm.
    pub(crate) fn all() -> [Self; 4] {
        [Self::rs256(), Self::es256(), Self::eddsa(), Self::hs256()]
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&Header::new(self.algorithm), claims)
    }

    /// Signs, and says which key it was.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(kid.into());
        self.sign_with(&header, claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }

    /// The key as it stands in a JWKS.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(kid.into());
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn jwt(&self) -> Jwt {
        self.jwt_with(|jwt| jwt)
    }

    pub(crate) fn jwt_with(&self, build: impl FnOnce(JwtBuilder) -> JwtBuilder) -> Jwt {
        let jwt = Jwt::builder().key(self.public.clone());
        build(jwt).build().unwrap()
    }
}

pub(crate) const SECRET: &[u8] = b"a secret of the tests, of no use";

pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// Seconds since 1970, that many from now.
pub(crate) fn in_secs(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// Claims that are good for ten minutes, with these changed.
pub(crate) fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "ada", "exp": in_secs(600)});
    let Value::Object(changes) = changes else {
        panic!("claims are an object")
    };
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

pub(crate) fn request(token: &str) -> Parts {
    let request = Request::builder()
        .uri("/")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

pub(crate) async fn who(jwt: &Jwt, token: &str) -> Result<Principal, Refusal> {
    jwt.authenticate(&request(token)).await
}

/// Whether whoever has the token may do this; the error is what the client is told.
pub(crate) async fn may(jwt: &Jwt, token: &str, action: &Action) -> Result<(), String> {
    match jwt.authorize(&request(token), action).await {
        Ok(_) => Ok(()),
        Err(Refusal::Forbidden { solution }) => Err(solution.unwrap().into_owned()),
        Err(refusal) => panic!("{refusal:?}"),
    }
}

pub(crate) fn watch(id: &str) -> Action {
    Action::Watch(id.parse().unwrap())
}

pub(crate) fn publish(id: &str) -> Action {
    Action::Publish(id.parse().unwrap())
}

pub(crate) fn cancel(id: &str) -> Action {
    Action::Cancel(id.parse().unwrap())
}

pub(crate) fn channel(name: &str) -> Action {
    Action::Channel(name.into())
}

pub(crate) fn into_channel(name: &str) -> Action {
    Action::PublishToChannel(name.into())
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
