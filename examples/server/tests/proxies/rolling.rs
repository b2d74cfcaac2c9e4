//! Nodes that go and come while clients stay.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{
    clients::{Events, behind, note},
    proxy::{Kind, Proxy, Times, nobody},
    support::{PATIENCE, Server},
};

async fn terminate(server: &Server) {
    let id = server.process.id().unwrap().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(told.unwrap().success());
}

/// What a server calls itself, past the proxy.
async fn node_of(server: &Server) -> Value {
    let url = format!("{}/sse/progress/video-42", server.url);
    let mut events = Events::of(reqwest::Client::new().get(url)).await;
    events.until("connected").await["data"]["node"].clone()
}

#[tokio::test]
async fn a_node_that_goes_is_replaced_by_the_next() {
    for kind in Kind::ALL {
        let mut servers = [behind(&[]).await, behind(&[]).await];
        for server in &servers {
            note(server, "video-42", 0).await;
        }
        let proxy = Proxy::before(kind, &[&servers[0], &servers[1]]).await;
        let watch = || proxy.get("/sse/progress/video-42");
        // Several, so that it takes a while to send them away.
        let mut watching = Vec::new();
        for _ in 0..8 {
            let mut events = Events::of(watch()).await;
            let node = events.until("connected").await["data"]["node"].clone();
            watching.push((node, events));
        }
        let going = node_of(&servers[0]).await;
        let (mut watching, stay): (Vec<_>, Vec<_>) =
            watching.into_iter().partition(|(node, _)| *node == going);
        assert!(
            watching.len() > 1 && stay.len() > 1,
            "{kind:?} spreads clients"
        );
        terminate(&servers[0]).await;
        // While it goes and when it has gone, with a new connection each time.
        let mut told = None;
        let until_gone = async {
            for (_, events) in &mut watching {
                let draining = events.until("draining").await;
                assert!(draining["data"]["reconnect_after_ms"].is_u64());
                while events.next().await.is_some() {}
            }
            servers[0].process.wait().await.unwrap();
        };
        let asking = async {
            loop {
                let answer = watch().send().await.unwrap();
                // Caddy learns of it by asking the node for its health.
                if kind == Kind::Nginx {
                    assert_eq!(answer.status(), StatusCode::OK);
                }
                if answer.status() == StatusCode::OK {
                    told = Some(answer);
                }
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let gone = async {
            tokio::select! {
                () = until_gone => {}
                () = asking => {}
            }
        };
        timeout(PATIENCE, gone).await.expect("the node goes");
        drop(told);
        let back = async {
            while watch().send().await.unwrap().status() != StatusCode::OK {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, back).await.expect("the other takes all");
        for _ in 0..10 {
            assert_eq!(
                watch().send().await.unwrap().status(),
                StatusCode::OK,
                "{kind:?}"
            );
        }
    }
}

/// An `EventSource` that is answered with an error does not come back by itself; one that is hung up on does.
#[tokio::test]
async fn without_a_node_event_sources_are_hung_up_on_and_others_told() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind, &[nobody(), nobody()], Times::AsTheyAre).await;
        for path in ["/sse/progress/video-42", "/sse?ids=video-42"] {
            let hung_up = timeout(PATIENCE, proxy.get(path).send()).await.unwrap();
            let error = hung_up.expect_err("there is no answer");
            assert!(error.is_request(), "{kind:?}: {error:?}");
        }
        let answer = timeout(PATIENCE, proxy.get("/tasks/video-42").send()).await;
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind:?}");
        assert_eq!(answer.headers()["retry-after"], "5");
        let refusal: Value = answer.json().await.unwrap();
        let error = &refusal["error"];
        assert_eq!(error["is_retryable"], true, "{kind:?}");
        assert_eq!(error["retry_after_ms"], json!(5_000));
    }
}
