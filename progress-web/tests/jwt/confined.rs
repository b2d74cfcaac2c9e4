//! Tokens for some tasks or channels only.

use progress_web::{Action, Refusal};
use serde_json::{Value, json};

use crate::support::{Issuer, cancel, channel, claims, into_channel, may, publish, watch, who};

const OTHER_TASKS: &str = "The token is for other tasks";
const OTHER_CHANNELS: &str = "The token is for other channels";
const CONFINED: &str = "The token is for the tasks and channels that it names, and no more";

fn token(changes: Value) -> String {
    Issuer::hs256().sign(&claims(changes))
}

fn refused(solution: &str) -> Result<(), String> {
    Err(solution.into())
}

#[tokio::test]
async fn named_tasks_are_watched_without_a_permission_and_no_others() {
    let jwt = Issuer::hs256().jwt();
    for more in [json!({}), json!({"roles": ["admin"]})] {
        let mut more = more;
        more["tasks"] = json!(["a", "render-*"]);
        let token = token(more);
        for ours in ["a", "render-", "render-7"] {
            assert_eq!(may(&jwt, &token, &watch(ours)).await, Ok(()));
        }
        for other in ["b", "A", "aa", "render", "a.b"] {
            let told = may(&jwt, &token, &watch(other)).await;
            assert_eq!(told, refused(OTHER_TASKS), "{other}");
        }
    }
}

#[tokio::test]
async fn to_change_a_named_task_takes_a_permission_still() {
    let jwt = Issuer::hs256().jwt();
    let bare = token(json!({"tasks": ["a"]}));
    let told = may(&jwt, &bare, &publish("a")).await;
    assert_eq!(told, refused("pipeline:publish is needed"));
    let told = may(&jwt, &bare, &cancel("a")).await;
    assert_eq!(told, refused("pipeline:cancel is needed"));
    let operator = token(json!({"tasks": ["a"], "roles": ["operator"]}));
    for (ours, other) in [(publish("a"), publish("b")), (cancel("a"), cancel("b"))] {
        assert_eq!(may(&jwt, &operator, &ours).await, Ok(()));
        assert_eq!(may(&jwt, &operator, &other).await, refused(OTHER_TASKS));
    }
}

#[tokio::test]
async fn token_for_some_tasks_sees_no_others_by_a_list_or_a_channel() {
    let jwt = Issuer::hs256().jwt();
    let admin = token(json!({"tasks": ["a"], "roles": ["admin"]}));
    for action in [
        Action::List,
        Action::Manage,
        channel("jobs"),
        channel("_tasks"),
    ] {
        assert_eq!(may(&jwt, &admin, &action).await, refused(CONFINED));
    }
    let with_channel = token(json!({"tasks": ["a"], "channels": ["jobs"]}));
    assert_eq!(may(&jwt, &with_channel, &channel("jobs")).await, Ok(()));
    let told = may(&jwt, &with_channel, &channel("_tasks")).await;
    assert_eq!(told, refused(OTHER_CHANNELS));
}

#[tokio::test]
async fn named_channels_are_watched_without_a_permission_and_no_others() {
    let jwt = Issuer::hs256().jwt();
    let bare = token(json!({"channels": ["jobs", "team:*"]}));
    for ours in ["jobs", "team:a"] {
        assert_eq!(may(&jwt, &bare, &channel(ours)).await, Ok(()));
        let told = may(&jwt, &bare, &into_channel(ours)).await;
        assert_eq!(told, refused("pipeline:publish is needed"));
    }
    let operator = token(json!({"channels": ["jobs"], "roles": ["admin"]}));
    let told = may(&jwt, &operator, &into_channel("jobs")).await;
    assert_eq!(told, Ok(()));
    for token in [&bare, &operator] {
        let told = may(&jwt, token, &channel("other")).await;
        assert_eq!(told, refused(OTHER_CHANNELS));
        assert_eq!(may(&jwt, token, &Action::Manage).await, refused(CONFINED));
    }
    // Tasks are another matter.
    assert_eq!(may(&jwt, &operator, &watch("a")).await, Ok(()));
}

#[tokio::test]
async fn list_of_all_tasks_is_in_no_pattern() {
    let jwt = Issuer::hs256().jwt();
    for pattern in ["*", "_tasks*"] {
        let token = token(json!({"channels": [pattern]}));
        let told = may(&jwt, &token, &channel("_tasks")).await;
        assert_eq!(told, refused(OTHER_CHANNELS), "{pattern}");
    }
    let named = token(json!({"channels": ["_tasks"]}));
    assert_eq!(may(&jwt, &named, &channel("_tasks")).await, Ok(()));
}

#[tokio::test]
async fn empty_list_is_for_nothing_and_a_star_for_all() {
    let jwt = Issuer::hs256().jwt();
    let none = token(json!({"tasks": [], "roles": ["admin"]}));
    assert_eq!(may(&jwt, &none, &watch("a")).await, refused(OTHER_TASKS));
    let all = token(json!({"tasks": ["*"]}));
    assert_eq!(may(&jwt, &all, &watch("a")).await, Ok(()));
}

#[tokio::test]
async fn lists_that_are_not_understood_are_refused() {
    let jwt = Issuer::hs256().jwt();
    for claim in ["tasks", "channels"] {
        for bad in [
            json!(null),
            json!("a"),
            json!({"a": true}),
            json!(1),
            json!([1]),
            json!(["a", null]),
            json!([""]),
            json!(["a b"]),
            json!(["a*b"]),
            json!(["**"]),
            json!(["a", "x".repeat(129)]),
            json!(["\u{e4}"]),
        ] {
            let token = token(json!({claim: bad, "roles": ["admin"]}));
            let said = who(&jwt, &token).await;
            assert_eq!(said, Err(Refusal::Unauthenticated), "{claim}: {bad}");
        }
    }
}

#[tokio::test]
async fn at_most_a_thousand_names() {
    let jwt = Issuer::hs256().jwt();
    for (names, is_taken) in [(1_000, true), (1_001, false)] {
        let names: Vec<_> = (0..names).map(|n| format!("{:x}", n % 256)).collect();
        let token = token(json!({"tasks": names}));
        assert!(token.len() < 8 * 1024);
        assert_eq!(who(&jwt, &token).await.is_ok(), is_taken);
    }
}

#[tokio::test]
async fn claims_are_those_that_were_set() {
    let jwt = Issuer::hs256().jwt_with(|jwt| jwt.tasks_claim("t").channels_claim("x.c"));
    let token = token(json!({"t": ["a"], "x": {"c": ["jobs"]}, "tasks": ["b"]}));
    assert_eq!(may(&jwt, &token, &watch("a")).await, Ok(()));
    assert_eq!(may(&jwt, &token, &watch("b")).await, refused(OTHER_TASKS));
    assert_eq!(may(&jwt, &token, &channel("jobs")).await, Ok(()));
}

#[tokio::test]
async fn a_path_that_leads_into_no_object_is_refused() {
    let jwt = Issuer::hs256().jwt_with(|jwt| {
        jwt.tasks_claim("a.tasks")
            .channels_claim("b.c.channels")
            .roles_claim("r.roles")
            .permissions_claim("p.permissions")
    });
    for claim in ["a", "b", "r", "p"] {
        for bad in [json!(["t1"]), json!("t1"), json!(null), json!(1)] {
            let token = token(json!({claim: bad, "scope": "pipeline:*"}));
            let said = who(&jwt, &token).await;
            assert_eq!(said, Err(Refusal::Unauthenticated), "{claim}: {bad}");
        }
    }
    let deep = token(json!({"b": {"c": ["jobs"]}, "scope": "pipeline:*"}));
    assert_eq!(who(&jwt, &deep).await, Err(Refusal::Unauthenticated));
    // What says nothing of them confines to nothing.
    let other = token(json!({"a": {}, "b": {"c": {}}, "scope": "pipeline:*"}));
    assert_eq!(may(&jwt, &other, &watch("a")).await, Ok(()));
}
