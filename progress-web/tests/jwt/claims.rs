//! Times, issuers, audiences and subjects.

use std::time::{Duration, UNIX_EPOCH};

use progress_web::{Refusal, jwt::Jwt};
use serde_json::{Value, json};

use crate::support::{Issuer, claims, in_secs, secs, who};

async fn is_taken(jwt: &Jwt, changes: Value) -> bool {
    let token = Issuer::hs256().sign(&claims(changes));
    match who(jwt, &token).await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal, Refusal::Unauthenticated);
            false
        }
    }
}

/// Claims of a form that is none of a time's.
fn no_times() -> [Value; 9] {
    [
        json!(null),
        json!(""),
        json!("4102444800"),
        json!([]),
        json!({}),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
    ]
}

#[tokio::test]
async fn token_without_exp_or_past_it_is_refused() {
    let jwt = Issuer::hs256().jwt();
    let token = Issuer::hs256().sign(&json!({"sub": "ada"}));
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unauthenticated));
    assert!(is_taken(&jwt, json!({"exp": in_secs(-20)})).await);
    assert!(!is_taken(&jwt, json!({"exp": in_secs(-31)})).await);
    assert!(!is_taken(&jwt, json!({"exp": 0})).await);
    assert!(is_taken(&jwt, json!({"exp": in_secs(20) as f64 + 0.5})).await);
    for no_time in no_times() {
        assert!(!is_taken(&jwt, json!({"exp": no_time})).await, "{no_time}");
    }
    let strict = Issuer::hs256().jwt_with(|jwt| jwt.leeway(Duration::ZERO));
    assert!(!is_taken(&strict, json!({"exp": in_secs(-1)})).await);
}

#[tokio::test]
async fn principal_ends_with_its_token() {
    let exp = in_secs(100);
    let token = Issuer::hs256().sign(&claims(json!({"exp": exp})));
    let at = |seconds: i64| Some(UNIX_EPOCH + secs(seconds.try_into().unwrap()));
    for (leeway, end) in [(0, exp), (30, exp + 30)] {
        let jwt = Issuer::hs256().jwt_with(|jwt| jwt.leeway(secs(leeway)));
        let principal = who(&jwt, &token).await.unwrap();
        assert_eq!(principal.expires_at, at(end));
        assert_eq!(principal.subject.as_deref(), Some("ada"));
    }
}

#[tokio::test]
async fn token_from_the_future_is_refused() {
    let jwt = Issuer::hs256().jwt();
    for claim in ["nbf", "iat"] {
        assert!(is_taken(&jwt, json!({claim: in_secs(0)})).await);
        assert!(is_taken(&jwt, json!({claim: in_secs(20)})).await);
        assert!(!is_taken(&jwt, json!({claim: in_secs(60)})).await);
        for no_time in no_times() {
            assert!(!is_taken(&jwt, json!({claim: no_time})).await, "{no_time}");
        }
    }
}

#[tokio::test]
async fn token_older_than_the_greatest_age_is_refused() {
    let jwt = Issuer::hs256().jwt_with(|jwt| jwt.max_age(secs(100)));
    assert!(!is_taken(&jwt, json!({})).await);
    assert!(is_taken(&jwt, json!({"iat": in_secs(-100)})).await);
    assert!(!is_taken(&jwt, json!({"iat": in_secs(-131)})).await);
    let iat = in_secs(0);
    let token = Issuer::hs256().sign(&claims(json!({"iat": iat, "exp": in_secs(86_400)})));
    let ends = UNIX_EPOCH + secs((iat + 130).try_into().unwrap());
    assert_eq!(who(&jwt, &token).await.unwrap().expires_at, Some(ends));
}

#[tokio::test]
async fn issuer_has_to_be_one_of_ours() {
    let any = Issuer::hs256().jwt();
    assert!(is_taken(&any, json!({})).await);
    assert!(is_taken(&any, json!({"iss": "https://id.example.org"})).await);
    let jwt = Issuer::hs256().jwt_with(|jwt| jwt.issuer("a").issuer("b"));
    assert!(is_taken(&jwt, json!({"iss": "a"})).await);
    assert!(is_taken(&jwt, json!({"iss": "b"})).await);
    assert!(!is_taken(&jwt, json!({})).await);
    for other in [json!("c"), json!("A"), json!(["a"]), json!(null), json!(1)] {
        assert!(!is_taken(&jwt, json!({"iss": other})).await, "{other}");
    }
}

#[tokio::test]
async fn token_for_somebody_else_is_refused_also_where_no_audience_is_set() {
    let none = Issuer::hs256().jwt();
    assert!(is_taken(&none, json!({})).await);
    for other in [json!("a"), json!(["a"]), json!([]), json!(null), json!(1)] {
        assert!(!is_taken(&none, json!({"aud": other})).await, "{other}");
    }
    let jwt = Issuer::hs256().jwt_with(|jwt| jwt.audience("a").audience("b"));
    for ours in [json!("a"), json!("b"), json!(["x", "b"])] {
        assert!(is_taken(&jwt, json!({"aud": ours})).await, "{ours}");
    }
    assert!(!is_taken(&jwt, json!({})).await);
    for other in [
        json!("c"),
        json!(["c"]),
        json!([]),
        json!(null),
        json!(["a", 1]),
        json!({"a": "a"}),
    ] {
        assert!(!is_taken(&jwt, json!({"aud": other})).await, "{other}");
    }
}

#[tokio::test]
async fn subject_is_a_short_text() {
    let jwt = Issuer::hs256().jwt();
    let token = Issuer::hs256().sign(&json!({"exp": in_secs(60)}));
    assert_eq!(who(&jwt, &token).await.unwrap().subject, None);
    assert!(is_taken(&jwt, json!({"sub": "x".repeat(256)})).await);
    for bad in [
        json!("x".repeat(257)),
        json!(""),
        json!("a\nb"),
        json!("a\u{1b}[0m"),
        json!(7),
        json!(null),
        json!(["ada"]),
    ] {
        assert!(!is_taken(&jwt, json!({"sub": bad})).await, "{bad}");
    }
}
