//! Roles and permissions, and what each allows.

use progress_web::{
    Action, Refusal,
    jwt::{Jwt, Permission},
};
use serde_json::{Value, json};

use crate::support::{
    Issuer, cancel, channel, claims, into_channel, may, publish, request, watch, who,
};

/// One action for each permission, in the same order.
fn actions() -> Vec<(Permission, Action)> {
    vec![
        (Permission::View, watch("a")),
        (Permission::List, Action::List),
        (Permission::Publish, publish("a")),
        (Permission::Cancel, cancel("a")),
        (Permission::Channel, channel("jobs")),
        (Permission::Manage, Action::Manage),
    ]
}

/// What a token with these claims allows, and that each refusal names what is missing.
async fn allowed(jwt: &Jwt, changes: Value) -> Vec<Permission> {
    let token = Issuer::hs256().sign(&claims(changes));
    let mut allowed = Vec::new();
    for (permission, action) in actions() {
        match may(jwt, &token, &action).await {
            Ok(()) => allowed.push(permission),
            Err(solution) => assert_eq!(solution, format!("pipeline:{permission} is needed")),
        }
    }
    allowed
}

#[tokio::test]
async fn roles_allow_what_the_table_says() {
    use Permission::{Cancel, Channel, List, Publish, View};

    let jwt = Issuer::hs256().jwt();
    let roles = |roles: &str| json!({"roles": [roles]});
    assert_eq!(allowed(&jwt, roles("admin")).await, Permission::ALL);
    let operator = [View, List, Publish, Cancel, Channel];
    assert_eq!(allowed(&jwt, roles("operator")).await, operator);
    let viewer = [View, List, Channel];
    assert_eq!(allowed(&jwt, roles("viewer")).await, viewer);
    for unknown in ["root", "Admin", "", "admin*"] {
        assert_eq!(allowed(&jwt, roles(unknown)).await, [], "{unknown}");
    }
    assert_eq!(allowed(&jwt, json!({})).await, []);
    assert_eq!(allowed(&jwt, json!({"roles": "viewer, x"})).await, viewer);
    let both = json!({"roles": ["viewer", "operator"]});
    assert_eq!(allowed(&jwt, both).await, operator);
}

#[tokio::test]
async fn whoever_decides_by_roles_is_told_all_that_the_token_names() {
    let jwt = Issuer::hs256().jwt();
    for (roles, told) in [
        (json!(["viewer", "reviewer"]), &["viewer", "reviewer"][..]),
        (json!("reviewer,viewer"), &["reviewer", "viewer"]),
        (json!([]), &[]),
    ] {
        let token = Issuer::hs256().sign(&claims(json!({"roles": roles})));
        assert_eq!(*who(&jwt, &token).await.unwrap().roles, *told, "{roles}");
    }
    let none = Issuer::hs256().sign(&claims(json!({})));
    assert!(who(&jwt, &none).await.unwrap().roles.is_empty());
}

#[tokio::test]
async fn permissions_and_scope_allow_by_name() {
    use Permission::{Cancel, List, View};

    let jwt = Issuer::hs256().jwt();
    let listed = json!({"permissions": ["pipeline:view", "orders:cancel", "pipeline:fly"]});
    assert_eq!(allowed(&jwt, listed).await, [View]);
    let scope = json!({"scope": "openid pipeline:cancel profile pipeline:list"});
    assert_eq!(allowed(&jwt, scope).await, [List, Cancel]);
    let all = json!({"permissions": "pipeline:*"});
    assert_eq!(allowed(&jwt, all).await, Permission::ALL);
    for none in [
        "view",
        "*",
        ":view",
        "pipeline",
        "pipeline:",
        "pipeline:VIEW",
        "xpipeline:view",
    ] {
        assert_eq!(allowed(&jwt, json!({"permissions": [none]})).await, []);
    }
    // They add up.
    let sum = json!({"roles": ["viewer"], "permissions": ["pipeline:cancel"], "scope": "pipeline:manage"});
    assert_eq!(allowed(&jwt, sum).await.len(), 5);
}

#[tokio::test]
async fn namespace_and_claims_are_those_that_were_set() {
    let jwt = Issuer::hs256().jwt_with(|jwt| {
        jwt.namespace("jobs")
            .roles_claim("realm_access.roles")
            .permissions_claim("https://example.org/permissions")
            .scope_claim("scp")
    });
    let token = |changes| Issuer::hs256().sign(&claims(changes));
    let told = may(&jwt, &token(json!({"roles": ["admin"]})), &Action::List).await;
    assert_eq!(told, Err("jobs:list is needed".into()));
    for allows in [
        json!({"realm_access": {"roles": ["viewer"]}}),
        json!({"realm_access.roles": ["viewer"]}),
        json!({"https://example.org/permissions": ["jobs:list"]}),
        json!({"scp": "jobs:list"}),
    ] {
        assert_eq!(may(&jwt, &token(allows), &Action::List).await, Ok(()));
    }
    let other = token(json!({"scp": "pipeline:list"}));
    assert!(may(&jwt, &other, &Action::List).await.is_err());
}

#[tokio::test]
async fn own_roles_take_the_place_of_the_default_ones() {
    let jwt = Issuer::hs256().jwt_with(|jwt| {
        jwt.role("viewer", [Permission::View])
            .role("robot", [Permission::Publish])
    });
    let roles = |role: &str| json!({"roles": [role]});
    assert_eq!(allowed(&jwt, roles("viewer")).await, [Permission::View]);
    assert_eq!(allowed(&jwt, roles("robot")).await, [Permission::Publish]);
    assert_eq!(allowed(&jwt, roles("admin")).await, Permission::ALL);
    let jwt =
        Issuer::hs256().jwt_with(|jwt| jwt.role("robot", [Permission::Publish]).no_default_roles());
    assert_eq!(allowed(&jwt, roles("robot")).await, [Permission::Publish]);
    for role in ["admin", "operator", "viewer"] {
        assert_eq!(allowed(&jwt, roles(role)).await, []);
    }
}

#[tokio::test]
async fn viewer_watches_a_channel_and_does_not_publish_into_it() {
    let jwt = Issuer::hs256().jwt();
    let token = |role: &str| Issuer::hs256().sign(&claims(json!({"roles": [role]})));
    let jobs = channel("jobs");
    assert_eq!(may(&jwt, &token("viewer"), &jobs).await, Ok(()));
    let into = into_channel("jobs");
    let told = may(&jwt, &token("viewer"), &into).await;
    assert_eq!(told, Err("pipeline:publish is needed".into()));
    assert_eq!(may(&jwt, &token("operator"), &into).await, Ok(()));
    // Who publishes tasks does not thereby publish into every channel.
    let publisher = Issuer::hs256().sign(&claims(json!({"scope": "pipeline:publish"})));
    let told = may(&jwt, &publisher, &into).await;
    assert_eq!(told, Err("pipeline:channel is needed".into()));
}

#[tokio::test]
async fn list_of_all_tasks_takes_listing_as_a_channel_too() {
    let jwt = Issuer::hs256().jwt();
    let token = |scope: &str| Issuer::hs256().sign(&claims(json!({"scope": scope})));
    let told = may(&jwt, &token("pipeline:channel"), &channel("_tasks")).await;
    assert_eq!(told, Err("pipeline:list is needed".into()));
    let both = token("pipeline:channel pipeline:list");
    assert_eq!(may(&jwt, &both, &channel("_tasks")).await, Ok(()));
}

#[tokio::test]
async fn claims_of_another_form_are_refused_and_not_passed_over() {
    let jwt = Issuer::hs256().jwt();
    for claim in ["roles", "permissions", "scope"] {
        for bad in [
            json!(null),
            json!(1),
            json!(true),
            json!({"viewer": true}),
            json!([1]),
            json!(["viewer", null]),
            json!([["viewer"]]),
        ] {
            let token = Issuer::hs256().sign(&claims(json!({claim: bad})));
            let said = who(&jwt, &token).await;
            assert_eq!(said, Err(Refusal::Unauthenticated), "{claim}: {bad}");
        }
    }
}

#[tokio::test]
async fn who_it_is_takes_no_permission() {
    use progress_web::Authorizer;

    let jwt = Issuer::hs256().jwt();
    let token = Issuer::hs256().sign(&claims(json!({})));
    let request = request(&token);
    let subject = jwt.authenticate(&request).await.unwrap().subject;
    assert_eq!(subject.as_deref(), Some("ada"));
    let refused = jwt.authorize(&request, &Action::List).await.unwrap_err();
    assert!(matches!(refused, Refusal::Forbidden { .. }));
}
