//! Each algorithm, and what keys have to be.

use progress_web::{
    Refusal,
    jwt::{Algorithm, BuildError, JwksError, Jwt, Key, KeyError},
};
use serde_json::json;

use crate::support::{Issuer, SECRET, claims, jwks, pem, who};

#[tokio::test]
async fn token_of_each_algorithm_is_taken_by_its_own_key_only() {
    let issuers = Issuer::all();
    for (n, issuer) in issuers.iter().enumerate() {
        let token = issuer.sign(&claims(json!({})));
        for (m, other) in issuers.iter().enumerate() {
            let said = who(&other.jwt(), &token).await;
            if n == m {
                assert_eq!(said.unwrap().subject.as_deref(), Some("ada"));
            } else {
                assert_eq!(said, Err(Refusal::Unauthenticated), "{:?}", other.public);
            }
        }
    }
}

#[tokio::test]
async fn keys_of_a_jwks_are_those_of_a_pem() {
    for issuer in Issuer::all() {
        let set = jwks(&[issuer.jwk("a")]);
        let jwt = Jwt::builder().jwks(set).build().unwrap();
        let token = issuer.sign_as("a", &claims(json!({})));
        assert!(who(&jwt, &token).await.is_ok(), "{:?}", issuer.public);
    }
}

#[tokio::test]
async fn rsa_key_is_read_in_both_forms() {
    let issuer = Issuer::rs256();
    let key = Key::rs256(pem!("rsa.pkcs1.public")).unwrap();
    let jwt = Jwt::builder().key(key).build().unwrap();
    assert!(who(&jwt, &issuer.sign(&claims(json!({})))).await.is_ok());
}

#[test]
fn weak_keys_are_refused() {
    let weak = |bits, least| Some(KeyError::Weak { bits, least });
    assert_eq!(Key::hs256([7; 31]).err(), weak(248, 256));
    assert_eq!(Key::hs256([]).err(), weak(0, 256));
    let rsa = Key::rs256(pem!("rsa-weak.public")).err();
    assert_eq!(rsa, weak(1_024, 2_048));
    let set = jwks(&[json!({"kty": "oct", "alg": "HS256", "k": "c2hvcnQ"})]);
    let built = Jwt::builder().jwks(set).build().unwrap_err();
    let weak = KeyError::Weak {
        bits: 40,
        least: 256,
    };
    assert_eq!(built, BuildError::Jwks(JwksError::Key(weak)));
}

#[test]
fn what_is_no_public_key_of_the_algorithm_is_refused() {
    let private = Some(KeyError::Private);
    assert_eq!(Key::rs256(pem!("rsa.private")).err(), private);
    assert_eq!(Key::es256(pem!("ec.private")).err(), private);
    assert_eq!(Key::eddsa(pem!("ed.private")).err(), private);
    let malformed = Some(KeyError::Malformed);
    assert_eq!(Key::rs256(pem!("ec.public")).err(), malformed);
    assert_eq!(Key::es256(pem!("rsa.public")).err(), malformed);
    assert_eq!(Key::es256(pem!("ec-p384.public")).err(), malformed);
    assert_eq!(Key::es256(pem!("ec-secp256k1.public")).err(), malformed);
    assert_eq!(Key::eddsa(pem!("ec.public")).err(), malformed);
    for nothing in ["", "-----BEGIN PUBLIC KEY-----", "no key", "\u{0}\u{fffd}"] {
        assert_eq!(Key::rs256(nothing).err(), malformed);
        assert_eq!(Key::es256(nothing).err(), malformed);
        assert_eq!(Key::eddsa(nothing).err(), malformed);
    }
    assert_eq!(Key::rs256([0xff; 64]).err(), malformed);
    let two = [&pem!("rsa.public")[..], pem!("rsa-next.public")].concat();
    assert_eq!(Key::rs256(two).err(), malformed);
    // A public key as a secret is what key confusion is made of.
    let secret = Key::hs256(pem!("rsa.public")).err();
    assert_eq!(secret, Some(KeyError::NotSecret));
}

#[test]
fn sets_without_a_usable_key_are_refused() {
    let build = |set: &str| Jwt::builder().jwks(set).build().unwrap_err();
    let refused = |error| BuildError::Jwks(error);
    for malformed in ["", "{}", "[]", r#"{"keys":{}}"#, "{\"keys\":[]"] {
        assert_eq!(build(malformed), refused(JwksError::Malformed));
    }
    let mut unusable = vec![
        json!({"kty": "what", "k": 1}),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        Issuer::rs256().jwk("a"),
        Issuer::rs256().jwk("a"),
        Issuer::rs256().jwk("a"),
    ];
    unusable[3]["use"] = json!("enc");
    unusable[4]["alg"] = json!("RS512");
    unusable[5]["key_ops"] = json!(["encrypt"]);
    assert_eq!(build(&jwks(&unusable)), refused(JwksError::NoKeys));
    assert_eq!(build(&jwks(&[])), refused(JwksError::NoKeys));
    let many = vec![Issuer::es256().jwk("a"); 101];
    let limit = 100;
    assert_eq!(
        build(&jwks(&many)),
        refused(JwksError::TooManyKeys { limit })
    );
    let large = " ".repeat(1024 * 1024 + 1);
    let limit = 1024 * 1024;
    assert_eq!(build(&large), refused(JwksError::TooLarge { limit }));
}

#[test]
fn authorizer_without_keys_or_with_unfit_settings_is_not_made() {
    let build = |jwt: progress_web::jwt::JwtBuilder| jwt.build().unwrap_err();
    assert_eq!(build(Jwt::builder()), BuildError::NoKeys);
    let jwt = || Jwt::builder().key(Key::hs256(SECRET).unwrap());
    let limit = std::time::Duration::from_secs(300);
    let leeway = limit + std::time::Duration::from_nanos(1);
    assert_eq!(build(jwt().leeway(leeway)), BuildError::Leeway { limit });
    for namespace in ["", "a b", "a,b", "ä"] {
        assert_eq!(build(jwt().namespace(namespace)), BuildError::Namespace);
    }
    let many = (0..100).fold(jwt(), |jwt, _| jwt.key(Key::hs256(SECRET).unwrap()));
    assert_eq!(build(many), BuildError::TooManyKeys { limit: 100 });
    assert_eq!(Algorithm::EdDsa.to_string(), "EdDSA");
}
