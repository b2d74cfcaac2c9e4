//! What is told without being asked.

use std::time::Duration;

use axum::http::HeaderMap;
use pipeline_gpu::{
    Cancel,
    remote::{RemoteError, Talk, TalkStatus, Webhook, WebhookError},
};
use serde_json::json;

use crate::server::{Reply, Server};

const SECRET: &str = "0123456789abcdef";
const BODY: &[u8] = br#"{"id":"tlk_1","status":"done","object":"talk",
    "result_url":"https://bucket.example.com/talk.mp4?Signature=hidden","duration":2.5,"user_data":"task-17"}"#;

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    headers
}

#[test]
fn a_message_with_the_right_signature_is_read() {
    let webhook = Webhook::new(SECRET).unwrap();
    let signature = webhook.sign(BODY);
    let talk = webhook
        .verify(&headers("x-signature", &signature), BODY)
        .unwrap();
    assert_eq!((talk.id.as_str(), talk.status), ("tlk_1", TalkStatus::Done));
    assert_eq!(
        (talk.duration, talk.user_data.as_deref()),
        (Some(2.5), Some("task-17"))
    );
    let link = talk.result_url.clone().unwrap();
    assert!(link.as_str().ends_with("Signature=hidden"));
    let told = format!("{talk:?}");
    assert!(
        told.contains("talk.mp4") && !told.contains("hidden"),
        "{told}"
    );
    // Without its prefix, and in another header.
    let bare = signature.strip_prefix("sha256=").unwrap();
    let webhook = webhook.header("x-hub-signature".parse().unwrap());
    assert!(
        webhook
            .verify(&headers("x-hub-signature", bare), BODY)
            .is_ok()
    );
    let shouted = bare.to_uppercase();
    assert!(
        webhook
            .verify(&headers("x-hub-signature", &shouted), BODY)
            .is_ok()
    );
}

#[test]
fn the_signature_is_that_of_any_other_sender() {
    // python3 -c 'import hmac; print(hmac.new(b"0123456789abcdef", b"hello", "sha256").hexdigest())'
    let expected = "sha256=713ba20d2e5fdfbc44724244bf2305ed0714f16ecad75df06e9547b5ae43d83a";
    assert_eq!(Webhook::new(SECRET).unwrap().sign(b"hello"), expected);
}

#[test]
fn a_message_of_somebody_else_is_refused() {
    let webhook = Webhook::new(SECRET).unwrap();
    let other = Webhook::new("fedcba9876543210").unwrap().sign(BODY);
    let right = webhook.sign(BODY);
    let cut = &right[..right.len() - 2];
    let odd = &right[..right.len() - 1];
    for signature in [
        &other,
        cut,
        odd,
        "",
        "sha256=",
        "sha256=zz",
        "sha256=+1+1",
        "sha1=00",
    ] {
        let error = webhook.verify(&headers("x-signature", signature), BODY);
        assert_eq!(error, Err(WebhookError::WrongSignature), "{signature}");
    }
    let mut changed = BODY.to_vec();
    changed[7] ^= 1;
    let error = webhook.verify(&headers("x-signature", &right), &changed);
    assert_eq!(error, Err(WebhookError::WrongSignature));
    let error = webhook.verify(&headers("x-other", &right), BODY);
    assert_eq!(error, Err(WebhookError::NoSignature));
    let mut two = headers("x-signature", &right);
    two.append("x-signature", other.parse().unwrap());
    assert_eq!(webhook.verify(&two, BODY), Err(WebhookError::NoSignature));
}

#[test]
fn a_signed_message_that_describes_no_job_is_refused() {
    let webhook = Webhook::new(SECRET).unwrap();
    for body in [&b""[..], b"{}", b"[1]", b"{\"id\":\"tlk_1\"}", b"\xFF"] {
        let signed = headers("x-signature", &webhook.sign(body));
        assert_eq!(webhook.verify(&signed, body), Err(WebhookError::Body));
    }
    let large = vec![b' '; Webhook::MAX_BODY + 1];
    let signed = headers("x-signature", &webhook.sign(&large));
    assert_eq!(webhook.verify(&signed, &large), Err(WebhookError::TooLarge));
}

#[test]
fn a_secret_is_long_enough_and_never_shown() {
    assert!(Webhook::new("fifteen bytes..").is_err());
    let told = format!("{:?}", Webhook::new(SECRET).unwrap());
    assert!(
        !told.contains(SECRET) && told.contains("x-signature"),
        "{told}"
    );
}

fn talk(status: &str) -> Talk {
    serde_json::from_value(json!({"id": "tlk_1", "status": status})).unwrap()
}

#[tokio::test]
async fn a_hint_has_all_who_wait_on_a_job_ask_for_it() {
    let server = Server::start().await;
    let long = Duration::from_secs(600);
    let renderer = server.builder().polls(long, long).build().unwrap();
    let ended = json!({"id": "tlk_1", "status": "rejected"});
    server.replies("GET /talks/tlk_1", [Reply::json(&ended)]);
    server.replies("GET /talks/tlk_2", [Reply::json(&ended)]);
    assert!(!renderer.hint(&talk("done")));
    let cancel = Cancel::new();
    let other = Cancel::new();
    let wait = |id| renderer.wait(id, &cancel, |_| {});
    let hinted = async {
        assert!(renderer.clone().hint(&talk("done")));
    };
    let waited = async {
        let waited = tokio::join!(wait("tlk_1"), wait("tlk_1"), hinted);
        other.cancel();
        waited
    };
    let (unhinted, (one, two, ())) = tokio::join!(renderer.wait("tlk_2", &other, |_| {}), waited);
    // What counts is what the renderer says when asked.
    for result in [one, two] {
        assert!(
            matches!(result, Err(RemoteError::Rejected { .. })),
            "{result:?}"
        );
    }
    assert_eq!(server.heard("GET /talks/tlk_1").len(), 2);
    assert_eq!(unhinted, Err(RemoteError::Cancelled));
    assert!(server.heard("GET /talks/tlk_2").is_empty());
    assert!(!renderer.hint(&talk("done")));
}

#[tokio::test]
async fn hints_do_not_flood_the_renderer() {
    for (reply, most) in [
        (Reply::json(&json!({"id": "tlk_1", "status": "started"})), 2),
        (Reply::Header(503, "retry-after", "60"), 1),
    ] {
        let server = Server::start().await;
        let long = Duration::from_secs(600);
        let limit = Duration::from_millis(1_300);
        let renderer = server.builder().polls(long, long).job_timeout(limit);
        let renderer = renderer.build().unwrap();
        server.replies("GET /talks/tlk_1", [reply]);
        let hints = async {
            loop {
                renderer.hint(&talk("done"));
                tokio::task::yield_now().await;
            }
        };
        let cancel = Cancel::new();
        let result = tokio::select! {
            result = renderer.wait("tlk_1", &cancel, |_| {}) => result,
            () = hints => unreachable!("there is no end to them"),
        };
        assert!(matches!(result, Err(RemoteError::Timeout { .. })));
        let polls = server.heard("GET /talks/tlk_1").len();
        assert!((1..=most).contains(&polls), "{polls}");
    }
}
