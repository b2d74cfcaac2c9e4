//! Requests of pages that are from elsewhere.

use progress_web::{Code, Open, Origin};

use crate::{
    people::{UPGRADE, ask, gateway, gateway_with, get, parts},
    support::{kinds, settle, task},
};

const EVIL: (&str, &str) = ("origin", "https://evil.example");
const COOKIE: (&str, &str) = ("cookie", "progress_token=ada-token");

fn upgrade<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    UPGRADE.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn a_page_of_elsewhere_opens_no_web_socket_though_the_browser_sends_the_cookie() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    for path in ["/ws/progress/ada-1", "/ws"] {
        let answer = get(&gateway, path, &upgrade(&[COOKIE, EVIL])).await;
        assert_eq!(answer.refusal(), (403, "ORIGIN_NOT_ALLOWED".to_owned()));
        // Nor with a token of its own.
        let token = ("sec-websocket-protocol", "bearer.ada-token");
        let answer = get(&gateway, path, &upgrade(&[token, EVIL])).await;
        assert_eq!(answer.status, 403);
    }
    assert_eq!(gateway.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_cookie_opens_a_web_socket_to_a_page_of_our_own_and_to_no_other() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let own = ("origin", "https://jobs.example");
    let opened = async |headers: &[_]| {
        let request = parts("/", &upgrade(headers));
        let one = gateway.web_socket(&request, "ada-1").await;
        let many = gateway.web_sockets(&request).await;
        let mut said = Vec::new();
        for mut session in [one, many] {
            let batch = settle(&mut session).await;
            said.extend(kinds(&batch).into_iter().map(str::to_owned));
        }
        said
    };
    for headers in [&[COOKIE, own][..], &[COOKIE]] {
        assert_eq!(opened(headers).await, ["connected", "started", "connected"]);
    }
    // Who has no cookie that counts can still say who it is, and hears nothing before.
    for headers in [&[COOKIE, EVIL][..], &[own]] {
        assert!(opened(headers).await.is_empty());
    }
}

#[tokio::test]
async fn a_page_of_elsewhere_changes_nothing_in_the_users_name() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let path = "/tasks/ada-1/cancel";
    for foreign in [EVIL, ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let headers = [("host", "jobs.example"), COOKIE, foreign];
        let answer = ask(&gateway, "POST", path, &headers, "{}").await;
        assert_eq!(
            answer.refusal(),
            (401, "UNAUTHENTICATED".to_owned()),
            "{foreign:?}"
        );
    }
    let own = ("origin", "http://jobs.example");
    let headers = [("host", "jobs.example"), COOKIE, own];
    assert_eq!(
        ask(&gateway, "POST", path, &headers, "{}").await.status,
        202
    );
}

#[tokio::test]
async fn a_page_of_elsewhere_changes_nothing_on_a_server_that_is_open_to_all() {
    let app: Origin = "https://app.example".parse().unwrap();
    let open = || {
        Open::new()
            .named_ids()
            .channels()
            .publishing()
            .cancelling()
            .managing()
    };
    let gateway = gateway_with(|gateway| gateway.authorizer(open()).origin(app));
    let _a = task(&gateway, "ada-1");
    let all = [
        ("POST", "/tasks", r#"{"task_id":"new"}"#),
        ("POST", "/tasks/ada-1/cancel", "{}"),
        (
            "POST",
            "/tasks/new/events",
            r#"{"event_type":"log","data":{"message":"hi"}}"#,
        ),
        (
            "POST",
            "/channels/jobs/events",
            r#"{"event_type":"hi","data":{}}"#,
        ),
        ("POST", "/broadcast", r#"{"event_type":"hi","data":{}}"#),
        ("POST", "/tickets", r#"{"task_ids":["ada-1"]}"#),
        ("DELETE", "/clients/9", ""),
        ("DELETE", "/tasks/new", ""),
    ];
    let from = async |origin, (method, path, body)| {
        let host = ("host", "jobs.example");
        ask(&gateway, method, path, &[host, origin], body).await
    };
    for foreign in [EVIL, ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        for request in all {
            let refusal = from(foreign, request).await.refusal();
            assert_eq!(
                refusal,
                (403, "ORIGIN_NOT_ALLOWED".to_owned()),
                "{request:?}"
            );
        }
    }
    assert_eq!(gateway.tracker().stats().tasks, 1);
    assert_eq!(from(EVIL, ("GET", "/tasks/ada-1", "")).await.status, 200);
    let own = [
        ("origin", "https://jobs.example"),
        ("origin", "https://app.example"),
        ("user-agent", "curl"),
    ];
    for headers in own {
        let answer = from(headers, all[1]).await;
        assert_eq!(answer.status, 202, "{headers:?}");
    }
}

#[tokio::test]
async fn origins_are_allowed_by_name() {
    let app: Origin = "https://app.example".parse().unwrap();
    let gateway = gateway_with(|gateway| gateway.origin(app));
    let from = async |origin| {
        get(&gateway, "/ws", &upgrade(&[("origin", origin)]))
            .await
            .status
    };
    assert_eq!(from("https://app.example").await, 101);
    assert_eq!(from("http://app.example").await, 403);
    assert_eq!(from("https://app.example.evil.example").await, 403);
    let behind = gateway_with(|gateway| {
        gateway.base_url("https://public.example/progress".parse().unwrap())
    });
    let origin = ("origin", "https://public.example");
    assert_eq!(get(&behind, "/ws", &upgrade(&[origin])).await.status, 101);
    let any = gateway_with(|gateway| gateway.origin(Origin::any()));
    assert_eq!(get(&any, "/ws", &upgrade(&[EVIL])).await.status, 101);
}

#[tokio::test]
async fn routes_of_a_service_are_guarded_from_pages_of_elsewhere_alike() {
    let gateway = gateway_with(|gateway| gateway.host("jobs.example"));
    let check = |headers: &[_]| gateway.check_page(&parts("/api/photos", headers));
    let own = ("host", "jobs.example");
    let refused = |headers: &[_]| check(headers).unwrap_err().code();
    assert_eq!(check(&[own]), Ok(()));
    assert_eq!(check(&[own, ("origin", "https://jobs.example")]), Ok(()));
    assert_eq!(refused(&[own, EVIL]), Code::OriginNotAllowed);
    assert_eq!(refused(&[own, ("origin", "null")]), Code::OriginNotAllowed);
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert_eq!(refused(&rebound), Code::HostNotAllowed);
}

#[tokio::test]
async fn a_page_whose_name_resolves_to_this_server_is_told_that_it_is_not_its_name() {
    let gateway = gateway_with(|gateway| gateway.host("jobs.example"));
    let _a = task(&gateway, "ada-1");
    let ada = ("authorization", "Bearer ada-token");
    let asked = async |host| get(&gateway, "/tasks/ada-1", &[("host", host), ada]).await;
    for own in [
        "jobs.example",
        "JOBS.example:8090",
        "localhost:8090",
        "[::1]:8090",
        "10.0.0.7",
        "redis",
    ] {
        assert_eq!(asked(own).await.status, 200, "{own}");
    }
    for other in [
        "evil.example",
        "evil.example:8090",
        "localhost.evil.example",
        "",
        "a b",
    ] {
        let refusal = asked(other).await.refusal();
        assert_eq!(refusal, (421, "HOST_NOT_ALLOWED".to_owned()), "{other}");
    }
    // To its browser the page is the server's own: host and origin are the same name.
    let rebound = [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        COOKIE,
    ];
    let handshake: Vec<_> = UPGRADE[1..].iter().chain(&rebound).copied().collect();
    assert_eq!(get(&gateway, "/ws", &handshake).await.status, 421);
    assert_eq!(
        ask(&gateway, "POST", "/tasks/ada-1/cancel", &rebound, "{}")
            .await
            .status,
        421
    );
    let two = [("host", "jobs.example"), ("host", "evil.example"), ada];
    assert_eq!(get(&gateway, "/tasks/ada-1", &two).await.status, 421);
}
