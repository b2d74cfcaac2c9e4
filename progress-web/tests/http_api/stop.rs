//! `POST /tasks/{task_id}/cancel` and `DELETE /tasks/{task_id}`.

use http::Method;
use progress_web::Gateway;
use serde_json::json;

use crate::support::{gateway, get, post, publish, refusal, request, snapshot, told};

#[tokio::test]
async fn whoever_publishes_is_told_that_somebody_asked_to_stop() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let reason = r#"{"reason":"the user left"}"#;
    let (status, body) = told(&gateway.cancel_task(&post(), "t", reason.into()).await);
    assert_eq!(status, 202);
    assert_eq!(body, json!({"task_id": "t", "cancel_requested": true}));
    // Once more changes nothing.
    assert_eq!(
        gateway.cancel_task(&post(), "t", "".into()).await.status(),
        202
    );
    let (_, answer) = publish(&gateway, "t", r#"{"event_type":"note"}"#).await;
    assert_eq!(answer["cancel_requested"], true);
    assert_eq!(answer["cancel_reason"], "the user left");
    publish(
        &gateway,
        "t",
        r#"{"event_type":"complete","data":{"status":"cancelled"}}"#,
    )
    .await;
    let (status, code, ..) = refusal(&gateway.cancel_task(&post(), "t", "".into()).await);
    assert_eq!((status, &*code), (409, "ALREADY_COMPLETE"));
}

#[tokio::test]
async fn an_owner_is_asked() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    gateway
        .cancel_task(&post(), "t", r#"{"reason":"late"}"#.into())
        .await;
    task.cancelled().await;
    assert_eq!(task.cancel_reason().as_deref(), Some("late"));
}

#[tokio::test]
async fn a_task_is_forgotten_once_it_has_ended() {
    let gateway = gateway();
    let delete = request(Method::DELETE, "/", &[]);
    let task = gateway.tracker().task("t").start().unwrap();
    let (status, code, ..) = refusal(&gateway.delete_task(&delete, "t").await);
    assert_eq!((status, &*code), (409, "STILL_RUNNING"));
    task.complete(()).unwrap();
    assert_eq!(snapshot(&gateway, "t").await["state"], "completed");
    let response = gateway.delete_task(&delete, "t").await;
    assert_eq!(told(&response), (204, serde_json::Value::Null));
    assert_eq!(gateway.task(&get("/"), "t").await.status(), 404);
    assert_eq!(gateway.delete_task(&delete, "t").await.status(), 404);
}

#[tokio::test]
async fn the_id_comes_first_then_the_permission_then_the_task() {
    let closed = Gateway::new(gateway().tracker().clone());
    assert_eq!(
        closed
            .cancel_task(&post(), "no spaces", "".into())
            .await
            .status(),
        400
    );
    assert_eq!(
        closed.cancel_task(&post(), "t", "".into()).await.status(),
        403
    );
    assert_eq!(closed.delete_task(&post(), "no spaces").await.status(), 400);
    assert_eq!(closed.delete_task(&post(), "t").await.status(), 403);
    let open = gateway();
    assert_eq!(
        open.cancel_task(&post(), "t", "".into()).await.status(),
        404
    );
    open.tracker().task("t").share().await.unwrap();
    for body in ["7", "{", r#"{"reason":7}"#] {
        let response = open.cancel_task(&post(), "t", body.into()).await;
        assert_eq!(response.status(), 400, "{body}");
    }
}
