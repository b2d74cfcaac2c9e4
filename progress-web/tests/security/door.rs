//! WebSockets that come without credentials.

use std::time::Duration;

use progress_web::{Gateway, Session};
use serde_json::Value;
use tokio::time::{Instant, advance};

use crate::{
    people::{People, UPGRADE, gateway, gateway_with, parts},
    support::{Mark, closed, frames, kinds, kinds_of, next_batch, settle, task},
};

const AUTH: &str = r#"{"type":"auth","token":"ada-token"}"#;

async fn one(gateway: &Gateway) -> Session {
    gateway.web_socket(&parts("/", &UPGRADE), "ada-1").await
}

async fn many(gateway: &Gateway) -> Session {
    gateway.web_sockets(&parts("/", &UPGRADE)).await
}

async fn either(gateway: &Gateway, of_many: bool) -> Session {
    match of_many {
        true => many(gateway).await,
        false => one(gateway).await,
    }
}

#[tokio::test(start_paused = true)]
async fn no_frame_comes_before_the_first_message_says_who_asks() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    for of_many in [false, true] {
        let mut session = either(&gateway, of_many).await;
        a.emit(Mark { n: 1 }).unwrap();
        assert_eq!(settle(&mut session).await, []);
        // Signs of life may come, and are not answered.
        session.on_text(r#"{"type":"ping"}"#);
        session.on_text(r#"{"type":"pong"}"#);
        session.on_life();
        advance(Duration::from_secs(9)).await;
        assert_eq!(settle(&mut session).await, []);
        session.on_text(AUTH);
        let said = frames(settle(&mut session).await);
        assert_eq!(said[0]["event_type"], "connected");
    }
}

#[tokio::test(start_paused = true)]
async fn it_then_gets_what_it_came_for() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    a.emit(Mark { n: 1 }).unwrap();
    let position = a.snapshot().position();
    let request = parts(&format!("/?after={position}"), &UPGRADE);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    session.on_text(AUTH);
    let said = frames(settle(&mut session).await);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["data"]["resume"], "resumed");
    a.emit(Mark { n: 2 }).unwrap();
    assert_eq!(kinds(&settle(&mut session).await), ["mark"]);
    // It is listed under its name.
    let root = parts("/clients", &[("authorization", "Bearer root-token")]);
    let listed: Value = serde_json::from_slice(gateway.clients(&root).await.body()).unwrap();
    assert_eq!(listed["clients"][0]["subject"], "ada");
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_without_a_word_close_it() {
    let gateway = gateway();
    for of_many in [false, true] {
        let mut session = either(&gateway, of_many).await;
        let began = Instant::now();
        let said = next_batch(&mut session).await;
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(kinds(&said), ["rejected", "(close)"]);
        assert_eq!(closed(&said), (4401, "UNAUTHENTICATED"));
    }
    let hasty = gateway_with(|gateway| gateway.auth_wait(Duration::from_secs(2)));
    let mut session = one(&hasty).await;
    let began = Instant::now();
    assert_eq!(closed(&next_batch(&mut session).await).0, 4401);
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn anything_else_or_a_token_that_does_not_count_closes_it() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    for message in [
        r#"{"type":"subscribe","task_id":"ada-1"}"#,
        r#"{"type":"cancel","task_id":"ada-1"}"#,
        r#"{"type":"register","client_name":"x"}"#,
        r#"{"type":"auth"}"#,
        r#"{"type":"auth","token":""}"#,
        r#"{"type":"auth","token":"two words"}"#,
        r#"{"type":"auth","token":"forged"}"#,
        "",
        "garbage",
    ] {
        for mut session in [one(&gateway).await, many(&gateway).await] {
            session.on_text(message);
            let said = settle(&mut session).await;
            assert_eq!(kinds(&said), ["rejected", "(close)"], "{message}");
            assert_eq!(closed(&said), (4401, "UNAUTHENTICATED"), "{message}");
        }
    }
    // Somebody, but not who may watch that.
    let mut session = one(&gateway).await;
    session.on_text(r#"{"type":"auth","token":"ben-token"}"#);
    assert_eq!(closed(&settle(&mut session).await), (4403, "FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_credential_is_told_at_once() {
    let gateway = gateway();
    let wrong = parts("/", &[("authorization", "Bearer forged")]);
    let one = gateway.web_socket(&wrong, "ada-1").await;
    let many = gateway.web_sockets(&wrong).await;
    for mut session in [one, many] {
        let began = Instant::now();
        assert_eq!(
            closed(&next_batch(&mut session).await),
            (4401, "UNAUTHENTICATED")
        );
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_hears_no_broadcast() {
    let gateway = gateway();
    let mut known = many(&gateway).await;
    known.on_text(AUTH);
    settle(&mut known).await;
    let mut stranger = many(&gateway).await;
    assert_eq!(settle(&mut stranger).await, []);
    let root = parts("/broadcast", &[("authorization", "Bearer root-token")]);
    let told = r#"{"event_type":"notice","data":{"text":"for users"}}"#;
    let answer = gateway.broadcast(&root, told.to_owned().into()).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(kinds(&settle(&mut known).await), ["notice"]);
    assert_eq!(settle(&mut stranger).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_many_ends_with_its_credentials_though_it_watches_nothing() {
    let gateway = gateway();
    let ada = parts("/", &[("authorization", "Bearer ada-token.20")]);
    let mut session = gateway.web_sockets(&ada).await;
    settle(&mut session).await;
    let said = next_batch(&mut session).await;
    assert_eq!(closed(&said), (4013, "CREDENTIAL_EXPIRED"));
}

/// Takes its time, longer than the credentials last.
#[derive(Debug)]
struct Slow;

#[progress_web::async_trait]
impl progress_web::Authorizer for Slow {
    async fn authorize(
        &self,
        request: &http::request::Parts,
        _: &progress_web::Action,
    ) -> Result<progress_web::Principal, progress_web::Refusal> {
        if !request.headers.contains_key("authorization") {
            return Err(progress_web::Refusal::Unauthenticated);
        }
        let until = std::time::SystemTime::now() + Duration::from_secs(20);
        tokio::time::sleep(Duration::from_secs(12)).await;
        Ok(progress_web::Principal::of("ada").expires_at(until))
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_the_authorizer_takes_is_not_the_clients() {
    let gateway = gateway_with(|gateway| {
        let wait = Duration::from_secs(15);
        gateway.authorizer(Slow).auth_wait(wait)
    });
    let _a = task(&gateway, "ada-1");
    let mut session = one(&gateway).await;
    advance(Duration::from_secs(10)).await;
    session.on_text(AUTH);
    let began = Instant::now();
    assert_eq!(kinds(&next_batch(&mut session).await)[0], "connected");
    assert_eq!(began.elapsed().as_secs(), 12);
}

/// Takes its time to tell who is who.
#[derive(Debug)]
struct Ponders;

#[progress_web::async_trait]
impl progress_web::Authorizer for Ponders {
    async fn authorize(
        &self,
        request: &http::request::Parts,
        action: &progress_web::Action,
    ) -> Result<progress_web::Principal, progress_web::Refusal> {
        People.authorize(request, action).await
    }

    async fn authenticate(
        &self,
        request: &http::request::Parts,
    ) -> Result<progress_web::Principal, progress_web::Refusal> {
        let principal = People.authenticate(request).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(principal)
    }
}

const WATCH: &str = r#"{"type":"subscribe","request_id":1,"task_id":"ada-1"}"#;

#[tokio::test(start_paused = true)]
async fn what_follows_the_credentials_at_once_is_done_when_they_count() {
    let gateway = gateway_with(|gateway| gateway.authorizer(Ponders));
    let _a = task(&gateway, "ada-1");
    let mut session = many(&gateway).await;
    session.on_text(AUTH);
    session.on_text(r#"{"type":"ping"}"#);
    session.on_text(WATCH);
    session.on_text(r#"{"type":"nonsense","request_id":2}"#);
    assert_eq!(settle(&mut session).await, []);
    advance(Duration::from_secs(5)).await;
    let said = frames(settle(&mut session).await);
    assert_eq!(
        kinds_of(&said),
        ["connected", "rejected", "subscribed", "started"]
    );
    assert_eq!(said[1]["data"]["request_id"], 2);
    assert_eq!(said[2]["data"]["request_id"], 1);
}

#[tokio::test(start_paused = true)]
async fn of_what_follows_credentials_that_do_not_count_nothing_is_done() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    for mut session in [one(&gateway).await, many(&gateway).await] {
        session.on_text(r#"{"type":"auth","token":"forged"}"#);
        session.on_text(r#"{"type":"cancel","task_id":"ada-1"}"#);
        session.on_text(WATCH);
        let said = settle(&mut session).await;
        assert_eq!(kinds(&said), ["rejected", "(close)"]);
        assert_eq!(closed(&said), (4401, "UNAUTHENTICATED"));
    }
    assert!(!a.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_sixteen_messages_wait_for_the_credentials() {
    let gateway = gateway_with(|gateway| gateway.authorizer(Ponders));
    let _a = task(&gateway, "ada-1");
    for (messages, is_closed) in [(16, false), (17, true)] {
        let mut session = many(&gateway).await;
        session.on_text(AUTH);
        for _ in 0..messages {
            session.on_text(r#"{"type":"unsubscribe","task_id":"ada-1"}"#);
        }
        let said = next_batch(&mut session).await;
        if is_closed {
            assert_eq!(kinds(&said), ["rejected", "(close)"]);
            assert_eq!(closed(&said), (4029, "RATE_LIMITED"));
        } else {
            assert_eq!(kinds(&said)[..2], ["connected", "rejected"]);
            assert_eq!(said.len(), 17);
        }
    }
}
