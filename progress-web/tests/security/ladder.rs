//! The ways to say who asks.

use progress_core::TaskId;
use progress_web::Open;

use crate::{
    people::{UPGRADE, ask, bearer, gateway, gateway_with, get, parts},
    support::{Said, closed, frames, next_batch, settle, task},
};

const UNAUTHENTICATED: (u16, &str) = (401, "UNAUTHENTICATED");
const FORBIDDEN: (u16, &str) = (403, "FORBIDDEN");

fn refusal((status, code): (u16, &str)) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn the_header_counts_and_a_stranger_is_told_to_bring_one() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let ada = bearer("ada-token");
    let seen = get(&gateway, "/tasks/ada-1", &[("authorization", &ada)]).await;
    assert_eq!(seen.status, 200);
    let stranger = get(&gateway, "/tasks/ada-1", &[]).await;
    assert_eq!(stranger.refusal(), refusal(UNAUTHENTICATED));
    assert_eq!(stranger.headers["www-authenticate"], "Bearer");
    let ben = bearer("ben-token");
    let other = get(&gateway, "/tasks/ada-1", &[("authorization", &ben)]).await;
    assert_eq!(other.refusal(), refusal(FORBIDDEN));
}

#[tokio::test]
async fn a_refusal_is_the_same_whether_the_task_exists_or_not() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let ben = bearer("ben-token");
    for headers in [&[][..], &[("authorization", &*ben)][..]] {
        for (method, route) in [
            ("GET", "/tasks/ID"),
            ("GET", "/tasks/ID/history"),
            ("GET", "/tasks/ID?wait=1s"),
            ("GET", "/sse/progress/ID"),
            ("POST", "/tasks/ID/events"),
            ("POST", "/tasks/ID/cancel"),
            ("DELETE", "/tasks/ID"),
        ] {
            let there = ask(
                &gateway,
                method,
                &route.replace("ID", "ada-1"),
                headers,
                "{}",
            )
            .await;
            let none = ask(
                &gateway,
                method,
                &route.replace("ID", "ada-2"),
                headers,
                "{}",
            )
            .await;
            assert!(
                matches!(there.status, 401 | 403),
                "{method} {route}: {there:?}"
            );
            assert_eq!(there.status, none.status, "{method} {route}");
            assert_eq!(there.headers, none.headers, "{method} {route}");
            assert_eq!(there.body, none.body, "{method} {route}");
        }
        // A WebSocket says the same in its frames, but for the id that it was asked for.
        let mut said = Vec::new();
        for id in ["ada-1", "ada-2"] {
            let mut session = gateway.web_socket(&parts("/", headers), id).await;
            session.on_text("who is there?");
            let mut told = settle(&mut session).await;
            for one in &mut told {
                if let Said::Frame(frame) = one {
                    frame["timestamp"].take();
                    frame["task_id"].take();
                }
            }
            assert!(matches!(closed(&told).0, 4401 | 4403));
            said.push(told);
        }
        assert_eq!(said[0], said[1]);
    }
}

#[tokio::test]
async fn open_lets_random_ids_be_watched_and_says_what_would_allow_more() {
    let gateway = gateway_with(|gateway| gateway.authorizer(Open::new()));
    let id = TaskId::random();
    let _random = gateway.tracker().task(id.clone()).start().unwrap();
    let _named = task(&gateway, "video-42");
    assert_eq!(
        get(&gateway, &format!("/tasks/{id}"), &[]).await.status,
        200
    );
    for (method, path, solution) in [
        ("GET", "/tasks/video-42", "Open::named_ids()"),
        ("GET", "/tasks", "Open::listing()"),
        ("GET", "/clients", "Open::managing()"),
        ("GET", "/metrics", "Open::managing()"),
        ("POST", "/tasks", "Open::publishing()"),
        ("POST", "/tasks/video-42/events", "Open::publishing()"),
        ("POST", "/tasks/video-42/cancel", "Open::cancelling()"),
        ("DELETE", "/tasks/video-42", "Open::managing()"),
        ("POST", "/channels/jobs/events", "Open::channels()"),
        ("POST", "/broadcast", "Open::managing()"),
        ("DELETE", "/clients/1", "Open::managing()"),
    ] {
        let answer = ask(&gateway, method, path, &[], "{}").await;
        assert_eq!(answer.refusal(), refusal(FORBIDDEN), "{method} {path}");
        let solutions = answer.json()["error"]["solutions"].to_string();
        assert!(solutions.contains(solution), "{method} {path}: {solutions}");
    }
}

#[tokio::test]
async fn a_cookie_counts_like_a_header_and_after_it() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let status =
        async |headers: &[(&str, &str)]| get(&gateway, "/tasks/ada-1", headers).await.status;
    assert_eq!(
        status(&[("cookie", "theme=dark; progress_token=ada-token")]).await,
        200
    );
    assert_eq!(
        status(&[("cookie", "progress_token=\"ada-token\"")]).await,
        200
    );
    assert_eq!(status(&[("cookie", "other=ada-token")]).await, 401);
    assert_eq!(status(&[("cookie", "progress_token=")]).await, 401);
    let ben = bearer("ben-token");
    let both = [
        ("cookie", "progress_token=ada-token"),
        ("authorization", &*ben),
    ];
    assert_eq!(status(&both).await, 403);
    // Somebody planted a second one.
    let two = "progress_token=ada-token; progress_token=ben-token";
    assert_eq!(status(&[("cookie", two)]).await, 401);
    let two = [
        ("cookie", "progress_token=ben-token"),
        ("cookie", "progress_token=ada-token"),
    ];
    assert_eq!(status(&two).await, 401);

    let none = gateway_with(|gateway| gateway.cookie(None));
    let cookie = [("cookie", "progress_token=ada-token")];
    assert_eq!(get(&none, "/tasks/ada-1", &cookie).await.status, 401);
    let named = gateway_with(|gateway| gateway.cookie(Some("__Host-jobs")));
    let cookie = [("cookie", "__Host-jobs=ada-token")];
    assert_eq!(get(&named, "/tasks/ada-1", &cookie).await.status, 404);
}

#[tokio::test]
async fn a_subprotocol_counts_for_a_web_socket_and_is_not_answered() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let asked = "bearer.ada-token, progress.v1.json";
    let mut headers = UPGRADE.to_vec();
    headers.push(("sec-websocket-protocol", asked));
    let answer = get(&gateway, "/ws/progress/ada-1", &headers).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.headers["sec-websocket-protocol"], "progress.v1.json");
    let mut session = gateway.web_socket(&parts("/", &headers), "ada-1").await;
    assert_eq!(
        frames(settle(&mut session).await)[0]["event_type"],
        "connected"
    );
    // Alone it is a token all the same, and none of ours is answered.
    headers[5] = ("sec-websocket-protocol", "bearer.ada-token");
    let answer = get(&gateway, "/ws/progress/ada-1", &headers).await;
    assert!(!answer.headers.contains_key("sec-websocket-protocol"));
    // Elsewhere it is nothing.
    let plain = [("sec-websocket-protocol", asked)];
    assert_eq!(get(&gateway, "/tasks/ada-1", &plain).await.status, 401);
}

#[tokio::test]
async fn a_long_lived_token_in_the_query_does_not_count_and_the_refusal_says_what_does() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    for name in ["token", "access_token", "jwt"] {
        let answer = get(&gateway, &format!("/tasks/ada-1?{name}=ada-token"), &[]).await;
        assert_eq!(answer.refusal(), refusal(UNAUTHENTICATED));
        let solutions = answer.json()["error"]["solutions"].to_string();
        assert!(solutions.contains("ticket"), "{solutions}");
        assert!(!solutions.contains("ada-token"));
    }
}

#[tokio::test]
async fn only_an_option_takes_tokens_from_the_query_and_its_sockets_close_with_1008() {
    let old = gateway_with(|gateway| gateway.insecure_query_token("token"));
    let _a = task(&old, "ada-1");
    assert_eq!(
        get(&old, "/tasks/ada-1?token=ada-token", &[]).await.status,
        200
    );
    let socket = async |gateway: &progress_web::Gateway, path: &str, id: &str| {
        let mut session = gateway.web_socket(&parts(path, &[]), id).await;
        settle(&mut session).await
    };
    let said = socket(&old, "/?token=ada-token", "ada-1").await;
    assert_eq!(said[0].kind(), "connected");
    assert_eq!(
        closed(&socket(&old, "/?token=nobody", "ada-1").await),
        (1008, "UNAUTHENTICATED")
    );
    assert_eq!(
        closed(&socket(&old, "/?token=ben-token", "ada-1").await),
        (1008, "FORBIDDEN")
    );
    // Who came by another way is closed as everywhere.
    let ben = bearer("ben-token");
    let request = parts("/?token=ada-token", &[("authorization", &*ben)]);
    let mut session = old.web_socket(&request, "ada-1").await;
    assert_eq!(closed(&settle(&mut session).await), (4403, "FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn an_expired_credential_closes_and_the_resumed_stream_goes_on_where_it_was() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    let token = bearer("ada-token.20");
    let mut session = gateway
        .web_socket(&parts("/", &[("authorization", &token)]), "ada-1")
        .await;
    let before = frames(settle(&mut session).await);
    let (epoch, last) = (
        before[0]["epoch"].clone(),
        before.last().unwrap()["seq"].clone(),
    );
    let epoch = epoch
        .as_str()
        .unwrap_or_else(|| before[0]["data"]["epoch"].as_str().unwrap());
    assert_eq!(
        closed(&next_batch(&mut session).await),
        (4013, "CREDENTIAL_EXPIRED")
    );
    a.emit(crate::support::Mark { n: 1 }).unwrap();
    let again = bearer("ada-token");
    let request = parts(
        &format!("/?after={epoch}:{last}"),
        &[("authorization", &again)],
    );
    let mut session = gateway.web_socket(&request, "ada-1").await;
    let after = frames(settle(&mut session).await);
    assert_eq!(after[0]["data"]["resume"], "resumed");
    assert_eq!(after[1]["event_type"], "mark");
    assert_eq!(after[1]["seq"].as_u64(), last.as_u64().map(|last| last + 1));
    assert_eq!(after.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_web_socket_for_one_task_takes_new_credentials_in_time() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    let token = bearer("ada-token.20");
    let request = parts("/", &[("authorization", &*token)]);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    settle(&mut session).await;
    session.on_text(r#"{"type":"auth","token":"ada-token.100"}"#);
    settle(&mut session).await;
    tokio::time::advance(std::time::Duration::from_secs(25)).await;
    a.emit(crate::support::Mark { n: 1 }).unwrap();
    let said = settle(&mut session).await;
    assert!(said.iter().any(|said| said.kind() == "mark"), "{said:?}");
    // Those of somebody else end it.
    session.on_text(r#"{"type":"auth","token":"ben-token"}"#);
    assert_eq!(closed(&settle(&mut session).await), (4403, "FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn who_reads_slower_than_is_published_is_closed_when_the_credentials_end_all_the_same() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    let token = bearer("ada-token.20");
    let request = parts("/", &[("authorization", &*token)]);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    let began = tokio::time::Instant::now();
    let mut n = 0;
    loop {
        // There is always more to send than it takes.
        for _ in 0..400 {
            n += 1;
            a.emit(crate::support::Mark { n }).unwrap();
        }
        let said = next_batch(&mut session).await;
        if let Some(Said::Close(close)) = said.last() {
            assert_eq!((close.code, close.reason), (4013, "CREDENTIAL_EXPIRED"));
            break;
        }
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(began.elapsed().as_secs() < 30, "it goes on");
    }
    assert!((19..=21).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_not_held_past_the_end_of_the_credentials() {
    let gateway = gateway();
    let a = task(&gateway, "ada-1");
    let etag = format!("W/\"{}\"", a.snapshot().position());
    let token = bearer("ada-token.5");
    let headers = [("authorization", &*token), ("if-none-match", &*etag)];
    let began = tokio::time::Instant::now();
    let answer = get(&gateway, "/tasks/ada-1?wait=30s", &headers).await;
    assert_eq!(answer.status, 304);
    assert!((4..=5).contains(&began.elapsed().as_secs()));
}
