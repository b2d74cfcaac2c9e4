//! Several keys at a time.

use progress_web::{Refusal, jwt::Jwt};
use serde_json::json;

use crate::support::{Issuer, claims, jwks, who};

#[tokio::test]
async fn old_and_new_key_are_taken_until_the_old_one_is_gone() {
    let (old, new) = (Issuer::rs256(), Issuer::rs256_next());
    let both = Jwt::builder()
        .key(old.public.clone().kid("old"))
        .key(new.public.clone().kid("new"))
        .build()
        .unwrap();
    let after = Jwt::builder()
        .key(new.public.clone().kid("new"))
        .build()
        .unwrap();
    let tokens = |issuer: &Issuer, kid| {
        [
            issuer.sign_as(kid, &claims(json!({}))),
            issuer.sign(&claims(json!({}))),
        ]
    };
    for token in tokens(&old, "old") {
        assert!(who(&both, &token).await.is_ok());
        assert_eq!(who(&after, &token).await, Err(Refusal::Unauthenticated));
    }
    for token in tokens(&new, "new") {
        assert!(who(&both, &token).await.is_ok());
        assert!(who(&after, &token).await.is_ok());
    }
}

#[tokio::test]
async fn token_with_a_kid_uses_that_key_alone() {
    let (old, new) = (Issuer::es256(), Issuer::es256_next());
    let set = jwks(&[old.jwk("old"), new.jwk("new")]);
    let jwt = Jwt::builder().jwks(set).build().unwrap();
    for (issuer, kid, is_taken) in [
        (&old, "old", true),
        (&new, "new", true),
        (&old, "new", false),
        (&new, "old", false),
        (&old, "older", false),
    ] {
        let token = issuer.sign_as(kid, &claims(json!({})));
        assert_eq!(who(&jwt, &token).await.is_ok(), is_taken, "{kid}");
    }
    // A key without an id is no key of that id.
    let token = old.sign_as("old", &claims(json!({})));
    let refused = Err(Refusal::Unauthenticated);
    assert_eq!(who(&old.jwt(), &token).await, refused);
}
