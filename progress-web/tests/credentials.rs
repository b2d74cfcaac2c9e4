//! Who a WebSocket's client is, and for how long.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{header, request::Parts};
use progress_web::{Action, Authorizer, Principal, Refusal};
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use self::support::{
    Mark, closed, code, frames, gateway_with, kinds, kinds_of, next_batch, open, request, say,
    secs, settle, task,
};

/// Lets tokens in, `good-<n>`, each for so many seconds.
#[derive(Debug, Default)]
struct Tokens {
    asked: Arc<AtomicUsize>,
}

#[progress_web::async_trait]
impl Authorizer for Tokens {
    async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let token = request.headers.get(header::AUTHORIZATION);
        let seconds = token
            .and_then(|token| token.to_str().ok()?.strip_prefix("Bearer good-"))
            .and_then(|seconds| seconds.parse().ok());
        match seconds {
            Some(seconds) => {
                let until = SystemTime::now() + Duration::from_secs(seconds);
                Ok(Principal::of("somebody").expires_at(until))
            }
            None => Err(Refusal::Unauthenticated),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn token_replaces_the_credentials() {
    let gateway = gateway_with(|gateway| gateway.authorizer(Tokens::default()));
    let a = task(&gateway, "a");
    let mut session = open(&gateway).await;
    let auth = |token: &str| json!({"type": "auth", "token": token});
    let subscribe = json!({"type": "subscribe", "topics": [{"task_id": "a"}]});
    let said = say(&mut session, subscribe.clone()).await;
    assert_eq!(code(&said[0]), "UNAUTHENTICATED");
    assert_eq!(
        say(&mut session, auth("good-50")).await,
        Vec::<Value>::new()
    );
    let said = say(&mut session, subscribe.clone()).await;
    assert_eq!(kinds_of(&said), ["subscribed", "started"]);
    // Renewed in time it goes on, past the end of the first token.
    advance(secs(40)).await;
    say(&mut session, auth("good-50")).await;
    advance(secs(20)).await;
    a.emit(Mark { n: 1 }).unwrap();
    let said = frames(settle(&mut session).await);
    assert!(kinds_of(&said).contains(&"mark"), "{said:?}");
    // What may no longer be watched is not.
    let said = say(&mut session, auth("bad")).await;
    assert_eq!(
        said.iter().map(code).collect::<Vec<_>>(),
        ["UNAUTHENTICATED"]
    );
    assert_eq!(said[0]["task_id"], "a");
    a.emit(Mark { n: 2 }).unwrap();
    assert_eq!(settle(&mut session).await, []);
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_close_the_connection() {
    let gateway = gateway_with(|gateway| gateway.authorizer(Tokens::default()));
    let _a = task(&gateway, "a");
    let mut many = open(&gateway).await;
    say(&mut many, json!({"type": "auth", "token": "good-20"})).await;
    say(&mut many, json!({"type": "subscribe", "task_id": "a"})).await;
    let mut parts = request("/");
    let header = "Bearer good-20".parse().unwrap();
    parts.headers.insert(header::AUTHORIZATION, header);
    let mut one = gateway.web_socket(&parts, "a").await;
    settle(&mut one).await;
    let began = Instant::now();
    for session in [&mut many, &mut one] {
        let said = next_batch(session).await;
        assert_eq!(closed(&said), (4013, "CREDENTIAL_EXPIRED"));
        // The token's time is the system's; that of the test stands still.
        assert!((19..=20).contains(&began.elapsed().as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn questions_are_asked_a_few_at_a_time() {
    #[derive(Debug, Default)]
    struct Slow {
        now: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }
    #[progress_web::async_trait]
    impl Authorizer for Slow {
        async fn authorize(&self, _: &Parts, _: &Action) -> Result<Principal, Refusal> {
            let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(secs(1)).await;
            self.now.fetch_sub(1, Ordering::Relaxed);
            Ok(Principal::anonymous())
        }
    }
    let slow = Slow::default();
    let most = Arc::clone(&slow.most);
    let gateway = gateway_with(|gateway| gateway.authorizer(slow));
    let mut session = open(&gateway).await;
    let topics: Vec<_> = (0..20)
        .map(|n| json!({"channel": format!("c{n}")}))
        .collect();
    session.on_text(&json!({"type": "subscribe", "topics": topics}).to_string());
    let began = Instant::now();
    let mut said = Vec::new();
    while said.len() < 20 {
        said.extend(frames(next_batch(&mut session).await));
    }
    assert!(kinds_of(&said).iter().all(|kind| *kind == "subscribed"));
    assert_eq!(most.load(Ordering::Relaxed), 8);
    assert_eq!(began.elapsed().as_secs(), 3);
    // The client is served meanwhile.
    session.on_text(r#"{"type":"subscribe","channel":"more"}"#);
    session.on_text(r#"{"type":"ping"}"#);
    assert_eq!(kinds(&next_batch(&mut session).await), ["pong"]);
}
