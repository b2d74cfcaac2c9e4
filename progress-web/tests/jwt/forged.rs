//! Tokens that nobody who may sign has signed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http::{Request, header, request::Parts};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use progress_web::{
    Authorizer as _, Principal, Refusal,
    jwt::{Jwt, Key},
};
use serde_json::{Value, json};

use crate::support::{Issuer, claims, jwks, pem, request, who};

const REFUSED: Result<Principal, Refusal> = Err(Refusal::Unauthenticated);

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// A token with that header, with a signature that is good for the header and claims.
fn signed(issuer: &Issuer, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.key, issuer.algorithm);
    format!("{message}.{}", signature.unwrap())
}

#[tokio::test]
async fn one_changed_bit_anywhere_is_refused() {
    for issuer in Issuer::all() {
        let jwt = issuer.jwt();
        let token = issuer.sign(&claims(json!({})));
        assert!(who(&jwt, &token).await.is_ok());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(who(&jwt, &forged).await, REFUSED, "{at}");
        }
    }
}

#[tokio::test]
async fn unsigned_tokens_are_refused_however_none_is_spelled() {
    let issuer = Issuer::rs256();
    let jwt = issuer.jwt();
    let signed = issuer.sign(&claims(json!({})));
    let (_, signature) = signed.rsplit_once('.').unwrap();
    for spelling in 0..16_u8 {
        let letter = |(n, letter): (usize, char)| match spelling >> n & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        let none: String = "none".chars().enumerate().map(letter).collect();
        for alg in [json!(none), json!(format!(" {none} ")), json!([none])] {
            let message = format!(
                "{}.{}",
                part(&json!({"alg": alg})),
                part(&claims(json!({})))
            );
            for end in [String::new(), ".".into(), format!(".{signature}")] {
                assert_eq!(who(&jwt, &format!("{message}{end}")).await, REFUSED);
            }
        }
    }
    for alg in [
        json!(""),
        json!(null),
        json!(0),
        json!("RS256 "),
        json!("rs256"),
    ] {
        let message = format!(
            "{}.{}",
            part(&json!({"alg": alg})),
            part(&claims(json!({})))
        );
        assert_eq!(who(&jwt, &format!("{message}.{signature}")).await, REFUSED);
    }
}

#[tokio::test]
async fn public_key_is_no_secret_that_signs() {
    for (issuer, public) in [
        (Issuer::rs256(), &pem!("rsa.public")[..]),
        (Issuer::es256(), &pem!("ec.public")[..]),
    ] {
        let trimmed = public.trim_ascii();
        for secret in [public, trimmed] {
            let attacker = Issuer {
                algorithm: Algorithm::HS256,
                key: EncodingKey::from_secret(secret),
                public: issuer.public.clone(),
            };
            let token = attacker.sign_as("a", &claims(json!({})));
            let named = issuer.public.clone().kid("a");
            let jwt = Jwt::builder().key(named).build().unwrap();
            assert_eq!(who(&jwt, &token).await, REFUSED);
            let token = attacker.sign(&claims(json!({})));
            assert_eq!(who(&issuer.jwt(), &token).await, REFUSED);
        }
    }
}

#[tokio::test]
async fn kid_leads_to_no_key_of_another_algorithm() {
    let (rsa, secret) = (Issuer::rs256(), Issuer::hs256());
    let jwt = Jwt::builder()
        .key(rsa.public.clone().kid("rsa"))
        .key(secret.public.clone().kid("secret"))
        .build()
        .unwrap();
    assert!(
        who(&jwt, &rsa.sign_as("rsa", &claims(json!({}))))
            .await
            .is_ok()
    );
    for (issuer, kid) in [(&rsa, "secret"), (&secret, "rsa")] {
        let token = issuer.sign_as(kid, &claims(json!({})));
        assert_eq!(who(&jwt, &token).await, REFUSED);
    }
}

#[tokio::test]
async fn kid_is_a_name_and_no_path_or_query() {
    let issuer = Issuer::hs256();
    let jwt = issuer.jwt_with(|jwt| jwt.key(Issuer::rs256().public.kid("a")));
    for kid in ["../../dev/null", "a' OR '1'='1", "", "a\0", "A", "a "] {
        let token = issuer.sign_as(kid, &claims(json!({})));
        assert_eq!(who(&jwt, &token).await, REFUSED, "{kid:?}");
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_are_not_honoured() {
    let attacker = Issuer::es256_next();
    let jwt = Issuer::es256().jwt();
    let mut header = Header::new(Algorithm::ES256);
    header.jwk = Some(Jwk::from_encoding_key(&attacker.key, Algorithm::ES256).unwrap());
    let token = attacker.sign_with(&header, &claims(json!({})));
    assert_eq!(who(&jwt, &token).await, REFUSED);
    let url = "https://attacker.example/keys";
    for header in [
        json!({"alg": "ES256", "jku": url}),
        json!({"alg": "ES256", "x5u": url}),
        json!({"alg": "ES256", "x5c": ["AAAA"]}),
    ] {
        let token = signed(&attacker, &header, &claims(json!({})));
        assert_eq!(who(&jwt, &token).await, REFUSED);
    }
}

#[tokio::test]
async fn extensions_and_other_types_are_refused_though_signed() {
    let issuer = Issuer::hs256();
    let jwt = issuer.jwt();
    for crit in [
        json!(["exp"]),
        json!([]),
        json!(null),
        json!("b64"),
        json!({}),
    ] {
        let header = json!({"alg": "HS256", "crit": crit});
        let token = signed(&issuer, &header, &claims(json!({})));
        assert_eq!(who(&jwt, &token).await, REFUSED, "{header}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "JWE"] {
        let token = signed(
            &issuer,
            &json!({"alg": "HS256", "typ": typ}),
            &claims(json!({})),
        );
        assert_eq!(who(&jwt, &token).await, REFUSED, "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        let token = signed(
            &issuer,
            &json!({"alg": "HS256", "typ": typ}),
            &claims(json!({})),
        );
        assert!(who(&jwt, &token).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn tokens_of_another_shape_are_refused() {
    let issuer = Issuer::hs256();
    let jwt = issuer.jwt();
    let token = issuer.sign(&claims(json!({})));
    let (message, signature) = token.rsplit_once('.').unwrap();
    for forged in [
        String::new(),
        "..".into(),
        "a.b.c".into(),
        message.into(),
        format!("{message}."),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}.a.b"),
        format!("{token}="),
        format!("{token}\t"),
        format!(".{token}"),
        token.replacen('.', " .", 1),
    ] {
        assert_eq!(who(&jwt, &forged).await, REFUSED, "{forged}");
    }
    for not_claims in [json!([]), json!("a"), json!(1), json!(null)] {
        let token = signed(&issuer, &json!({"alg": "HS256"}), &not_claims);
        assert_eq!(who(&jwt, &token).await, REFUSED);
    }
    let nested = format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    let message = format!(
        "{}.{}",
        part(&json!({"alg": "HS256"})),
        BASE64.encode(nested)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.key, Algorithm::HS256);
    let token = format!("{message}.{}", signature.unwrap());
    assert_eq!(who(&jwt, &token).await, REFUSED);
}

#[tokio::test]
async fn token_longer_than_8_kib_is_refused_though_signed() {
    let issuer = Issuer::hs256();
    let jwt = issuer.jwt();
    let padded = |bytes: usize| issuer.sign(&claims(json!({"pad": "x".repeat(bytes)})));
    let fits = (5_000..)
        .map(padded)
        .find(|token| token.len() >= 8 * 1024 - 1);
    let fits = fits.unwrap();
    assert!(fits.len() <= 8 * 1024);
    assert!(who(&jwt, &fits).await.is_ok());
    assert_eq!(who(&jwt, &padded(6_200)).await, REFUSED);
    assert_eq!(who(&jwt, &padded(1_000_000)).await, REFUSED);
}

fn with(values: &[&[u8]]) -> Parts {
    let mut request = Request::get("/");
    for value in values {
        request = request.header(header::AUTHORIZATION, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn there_is_one_credential_and_it_is_a_bearer_token() {
    let issuer = Issuer::hs256();
    let jwt = issuer.jwt();
    let token = issuer.sign(&claims(json!({})));
    let bearer = format!("Bearer {token}");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = with(&[format!("{scheme} {token}").as_bytes()]);
        assert!(jwt.authenticate(&request).await.is_ok());
    }
    for values in [
        &[][..],
        &[bearer.as_bytes(), bearer.as_bytes()],
        &[b"Basic YTpi", bearer.as_bytes()],
        &[token.as_bytes()],
        &[format!("Basic {token}").as_bytes()],
        &[format!("Bearer{token}").as_bytes()],
        &[format!("Bearer Bearer {token}").as_bytes()],
        &[b"Bearer"],
        &[b"Bearer "],
        &[b""],
        &[b"Bearer \xff\xfe"],
    ] {
        assert_eq!(jwt.authenticate(&with(values)).await, REFUSED);
    }
    // Nowhere else is looked for one.
    let (mut elsewhere, ()) = Request::get(format!("/?token={token}&access_token={token}"))
        .header(header::COOKIE, format!("token={token}"))
        .body(())
        .unwrap()
        .into_parts();
    assert_eq!(jwt.authenticate(&elsewhere).await, REFUSED);
    elsewhere.headers = request(&token).headers;
    assert!(jwt.authenticate(&elsewhere).await.is_ok());
}

#[tokio::test]
async fn token_without_kid_is_tried_with_eight_keys_at_most() {
    let issuer = Issuer::hs256();
    let token = issuer.sign(&claims(json!({})));
    for (others, is_taken) in [(7_u8, true), (8, false)] {
        let jwt = (0..others).fold(Jwt::builder(), |jwt, n| {
            jwt.key(Key::hs256([n; 32]).unwrap())
        });
        let jwt = jwt.key(issuer.public.clone()).build().unwrap();
        assert_eq!(who(&jwt, &token).await.is_ok(), is_taken);
    }
}

#[tokio::test]
async fn key_that_a_set_gives_to_encryption_verifies_nothing() {
    let issuer = Issuer::rs256();
    let mut key = issuer.jwk("a");
    key["use"] = json!("enc");
    let set = jwks(&[key, Issuer::rs256_next().jwk("b")]);
    let jwt = Jwt::builder().jwks(set).build().unwrap();
    for token in [
        issuer.sign_as("a", &claims(json!({}))),
        issuer.sign(&claims(json!({}))),
    ] {
        assert_eq!(who(&jwt, &token).await, REFUSED);
    }
}
