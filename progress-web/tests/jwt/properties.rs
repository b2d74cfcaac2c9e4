//! Whatever a signed token says, it is judged, and nothing that is not understood is allowed.

use progress_web::{Refusal, jwt::Permission};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::runtime::Builder;

use crate::support::{Issuer, claims, request, watch, who};

/// Any JSON, some levels deep.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:* ,]{0,12}".prop_map(Value::from),
        Just(json!("pipeline:*")),
        Just(json!("admin")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,5}", inner, 0..4)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

fn claim() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "exp",
        "nbf",
        "iat",
        "iss",
        "aud",
        "sub",
        "roles",
        "permissions",
        "scope",
        "tasks",
        "channels",
    ])
}

fn is_words(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(words) => words.iter().all(Value::is_string),
        _ => false,
    }
}

/// Whether a claim has the form that it must have for a token to be taken, as far as that can be
/// said without a clock.
fn has_form(claim: &str, value: &Value) -> bool {
    match claim {
        "exp" | "nbf" | "iat" => value.as_f64().is_some_and(|seconds| seconds >= 0.0),
        "aud" => false,
        "sub" => value.as_str().is_some_and(|subject| !subject.is_empty()),
        "roles" | "permissions" | "scope" => is_words(value),
        "tasks" | "channels" => value
            .as_array()
            .is_some_and(|names| names.iter().all(Value::is_string)),
        _ => true,
    }
}

proptest! {
    #[test]
    fn claims_of_any_form_are_judged(
        changes in prop::collection::vec((claim(), json()), 0..4),
    ) {
        let mut said = claims(json!({}));
        for (claim, value) in &changes {
            said[*claim] = value.clone();
        }
        let token = Issuer::hs256().sign(&said);
        let runtime = Builder::new_current_thread().build().unwrap();
        let jwt = Issuer::hs256().jwt();
        let principal = runtime.block_on(who(&jwt, &token));
        let has_form = said.as_object().unwrap().iter().all(|(claim, value)| has_form(claim, value));
        match principal {
            Ok(principal) => {
                prop_assert!(has_form, "{said}");
                prop_assert_eq!(principal.subject.as_deref(), said["sub"].as_str());
                prop_assert!(principal.expires_at.is_some());
            }
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::Unauthenticated);
                prop_assert!(!changes.is_empty());
            }
        }
    }

    #[test]
    fn only_known_names_allow_anything(name in "[a-z:*]{0,20}") {
        let known = name == "pipeline:*"
            || Permission::ALL.iter().any(|known| name == format!("pipeline:{known}"));
        prop_assume!(!known);
        let token = Issuer::hs256().sign(&claims(json!({
            "permissions": [name], "scope": name,
        })));
        let runtime = Builder::new_current_thread().build().unwrap();
        let jwt = Issuer::hs256().jwt();
        let request = request(&token);
        let action = watch("a");
        let decided = runtime.block_on(progress_web::Authorizer::authorize(&jwt, &request, &action));
        let is_forbidden = matches!(decided, Err(Refusal::Forbidden { .. }));
        prop_assert!(is_forbidden);
    }

    #[test]
    fn any_text_as_a_token_is_refused(token in "[ -~]{0,300}") {
        let runtime = Builder::new_current_thread().build().unwrap();
        let jwt = Issuer::hs256().jwt();
        let said = runtime.block_on(who(&jwt, &token));
        prop_assert_eq!(said, Err(Refusal::Unauthenticated));
    }
}
