//! What a task's token opens, and for whom everything stays closed.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use serde_json::{Value, json};

use self::support::{Accepted, Host, socket::Socket};

#[tokio::test]
async fn a_task_is_for_who_has_its_token_in_a_header() {
    let host = Host::start().await;
    let (task, other) = (host.generate().await, host.generate().await);
    host.end(&task).await;
    for name in ["polling_url", "sse_url", "result_url"] {
        let path = task.text(name);
        let status = async |token| {
            host.get(path, token)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        assert_eq!(status(None).await, 401, "{name}");
        assert_eq!(status(Some("nonsense")).await, 401, "{name}");
        assert_eq!(status(other.token()).await, 403, "{name}");
        assert_eq!(status(task.token()).await, 200, "{name}");
        let in_query = format!("{path}?token={}", task.token().unwrap());
        let status = host.get(&in_query, None).send().await.unwrap().status();
        assert_eq!(status, 401, "{name}: never in the query");
    }
    // A WebSocket is opened for anybody, who else would not learn why not, and closed with a code.
    let socket = async |query: &str, token| {
        let path = format!("{}{query}", task.text("websocket_url"));
        told_first(host.socket(&path, token).await).await
    };
    let in_query = format!("?token={}", task.token().unwrap());
    // Without a token in the request it is waited for in the first message.
    let without = tokio::join!(socket("", None), socket(&in_query, None));
    assert_eq!(without, (Err(4401), Err(4401)), "never in the query");
    assert_eq!(socket("", Some("nonsense")).await, Err(4401));
    assert_eq!(socket("", other.token()).await, Err(4403));
    let watched = socket("", task.token()).await.unwrap();
    assert_eq!(watched["task_id"], task.0["task_id"], "{watched}");
    let cancel = async |task: &Accepted, token: Option<&str>| {
        let url = format!("{}{}/cancel", host.url, task.text("polling_url"));
        let asked = host.client.post(url).json(&json!({}));
        let asked = match token {
            Some(token) => asked.bearer_auth(token),
            None => asked,
        };
        asked.send().await.unwrap().status().as_u16()
    };
    assert_eq!(cancel(&task, None).await, 401);
    assert_eq!(cancel(&task, Some("nonsense")).await, 401);
    assert_eq!(cancel(&task, other.token()).await, 403);
    // Nor does it list what others do; an operator's does.
    let active = async |token| {
        host.get("/api/tasks?state=active", token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!((active(None).await, active(task.token()).await), (401, 403));
    assert_eq!(active(host.operator().as_deref()).await, 200);
    host.end(&other).await;
}

/// What a WebSocket says first, or the code that it is closed with.
async fn told_first(mut socket: Socket) -> Result<Value, u16> {
    loop {
        let frame = socket.next().await?;
        if frame["event_type"] != "rejected" {
            return Ok(frame);
        }
    }
}
