//! A token as it comes in a request: its parts, before anything of it is believed.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{header, request::Parts};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use super::key::{Algorithm, Key};
use crate::auth::TOKEN;

/// Why a token is not taken. The client is told no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// What is wrong with it, in words that hold nothing of the token.
    Refused(&'static str),
    /// It cannot be told, for keys cannot be had.
    NoKeys,
}

/// A token of a request, taken apart.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kid: Option<String>,
    algorithm: Algorithm,
    /// What is signed.
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Finds the token of `Authorization: Bearer`, of which there must be one.
    pub(super) fn of(request: &'a Parts) -> Result<&'a str, Fault> {
        let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value,
            (None, _) => return Err(Fault::Refused("there is no token")),
            (Some(_), Some(_)) => return Err(Fault::Refused("there are two credentials")),
        };
        if value.len() > TOKEN + "Bearer ".len() {
            return Err(Fault::Refused("the token is too long"));
        }
        let (scheme, token) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or(Fault::Refused("the credential has no scheme"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Fault::Refused("the credential is no bearer token"));
        }
        Ok(token.trim_matches(' '))
    }

    /// Takes a token apart. What its header says is a wish: it has to fit a key.
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::Refused("the token does not have three parts"));
        };
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header)
            .map_err(|_| Fault::Refused("the token's header is malformed"))?;
        if header.crit {
            return Err(Fault::Refused("the token asks for an extension"));
        }
        if header.typ.is_some_and(|typ| !is_access_token(&typ)) {
            return Err(Fault::Refused("the token is of another type"));
        }
        let algorithm = match &*header.alg {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            "EdDSA" => Algorithm::EdDsa,
            "HS256" => Algorithm::Hs256,
            _ => return Err(Fault::Refused("the token's algorithm is not known here")),
        };
        Ok(Self {
            kid: header.kid.map(Cow::into_owned),
            algorithm,
            message: &text[..text.len() - signature.len() - 1],
            payload,
            signature: decode(signature)?,
        })
    }

    /// Tells whether the key has the id and the algorithm that the token names.
    pub(super) fn is_for(&self, key: &Key) -> bool {
        key.algorithm() == self.algorithm && (self.kid.is_none() || self.kid.as_deref() == key.id())
    }

    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        self.is_for(key) && key.verifies(self.message.as_bytes(), &self.signature)
    }

    /// Reads what the token says. To be believed only if it is signed with a key.
    pub(super) fn claims<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&decode(self.payload)?)
            .map_err(|_| Fault::Refused("the token's claims are malformed"))
    }
}

/// What is read of a token's header. Keys and addresses of keys that stand there are not: they are
/// whoever's who made the token.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    typ: Option<Cow<'a, str>>,
    /// Whether there is a list of extensions that must be understood, however it looks.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Tells access tokens from what the same issuers sign for other ends: logouts, events, proofs.
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Fault::Refused("the token is not in base64url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7515, appendix A: header.payload.signature, and the keys.
    const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const HS256_KEY: &str = r#"{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    #[test]
    fn the_standards_own_examples_verify() {
        for (token, key) in [(HS256, HS256_KEY), (ES256, ES256_KEY)] {
            let jwk = serde_json::from_str(key).unwrap();
            let key = Key::from_jwk(&jwk).unwrap().unwrap();
            let parsed = Token::parse(token).unwrap();
            assert!(parsed.is_signed_with(&key));
            let claims: serde_json::Value = parsed.claims().unwrap();
            assert_eq!(claims["iss"], "joe");
            // Each byte of what is signed counts, and of the signature.
            let turned = token.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Uj", 1);
            assert!(!Token::parse(&turned).unwrap().is_signed_with(&key));
        }
    }

    #[test]
    fn a_key_checks_no_signature_of_another_algorithm() {
        let hmac = serde_json::from_str(HS256_KEY).unwrap();
        let hmac = Key::from_jwk(&hmac).unwrap().unwrap();
        let token = Token::parse(ES256).unwrap();
        assert!(!token.is_for(&hmac));
        assert!(!token.is_signed_with(&hmac));
    }
}
