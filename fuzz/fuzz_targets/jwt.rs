//! Two lines: any text as a token, then any JSON as the claims of one that is signed. Nothing that
//! is not signed is taken; what is signed is judged, and a token for some tasks sees no others.

#![no_main]

use std::sync::OnceLock;

use http::{Request, header, request::Parts};
use jsonwebtoken::{EncodingKey, Header};
use libfuzzer_sys::fuzz_target;
use progress_web::{
    Action, Authorizer, Principal, Refusal,
    jwt::{Jwt, Key},
};
use serde_json::Value;
use tokio::runtime::Builder;

const SECRET: [u8; 32] = *b"a secret that no input can know!";

fuzz_target!(|text: &str| {
    let (token, claims) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Some(request) = request(token) {
        assert_eq!(ask(&request, None), Err(Refusal::Unauthenticated));
    }
    let Ok(claims) = serde_json::from_str::<Value>(claims) else {
        return;
    };
    let key = EncodingKey::from_secret(&SECRET);
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("it is JSON");
    let Some(request) = request(&token) else {
        panic!("base64 is a header's text")
    };
    let taken = ask(&request, None);
    let is_confined = claims.get("tasks").is_some();
    for action in actions() {
        match ask(&request, Some(&action)) {
            Ok(principal) => {
                assert_eq!(taken.as_ref(), Ok(&principal));
                let shows_others = matches!(action, Action::List | Action::Manage);
                assert!(!(is_confined && shows_others), "{action:?}: {claims}");
            }
            Err(Refusal::Forbidden { .. }) => assert!(taken.is_ok()),
            Err(refusal) => assert_eq!(taken, Err(refusal)),
        }
    }
    if let Ok(principal) = taken {
        assert_eq!(principal.subject.as_deref(), claims["sub"].as_str());
        assert!(principal.expires_at.is_some());
        assert!(claims.get("aud").is_none());
    }
});

fn actions() -> [Action; 6] {
    let id = || "a".parse().expect("it is an id");
    [
        Action::Watch(id()),
        Action::List,
        Action::Publish(id()),
        Action::Cancel(id()),
        Action::Channel("a".into()),
        Action::Manage,
    ]
}

fn request(token: &str) -> Option<Parts> {
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
    Some(request.body(()).ok()?.into_parts().0)
}

/// Asks whether this is allowed, or without an action who it is.
fn ask(request: &Parts, action: Option<&Action>) -> Result<Principal, Refusal> {
    static JWT: OnceLock<Jwt> = OnceLock::new();
    let jwt = JWT.get_or_init(|| {
        let key = Key::hs256(SECRET).expect("it is long enough");
        Jwt::builder().key(key).build().expect("there is a key")
    });
    let runtime = Builder::new_current_thread().build();
    runtime.expect("there is a runtime").block_on(async {
        match action {
            Some(action) => jwt.authorize(request, action).await,
            None => jwt.authenticate(request).await,
        }
    })
}
