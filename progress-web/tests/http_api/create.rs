//! `POST /tasks`.

use http::header;
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open};
use serde_json::{Value, json};

use crate::support::{builder, gateway, post, refusal, snapshot, told};

async fn create(gateway: &Gateway, body: &Value) -> (u16, Value) {
    told(&gateway.create_task(&post(), body.to_string().into()).await)
}

#[tokio::test]
async fn a_task_is_made_as_it_is_described() {
    let gateway = builder().prefix("/api").build();
    let body = json!({
        "task_id": "video-42", "name": "Talking video", "kind": "video", "labels": {"user": "7"},
        "channels": ["jobs"], "parent": "batch-1", "queued": null,
        "stages": [
            {"path": "detect", "label": "Detection", "total": 2, "unit": "persons"},
            {"path": "render", "weight": 3},
        ],
    });
    let response = gateway.create_task(&post(), body.to_string().into()).await;
    let location = &response.headers()[header::LOCATION];
    assert_eq!(location, "/api/tasks/video-42");
    let urls = json!({
        "task_id": "video-42",
        "websocket_url": "/api/ws/progress/video-42",
        "sse_url": "/api/sse/progress/video-42",
        "polling_url": "/api/tasks/video-42",
    });
    assert_eq!(told(&response), (201, urls));

    let task = snapshot(&gateway, "video-42").await;
    assert_eq!(task["state"], "running");
    assert_eq!(task["name"], "Talking video");
    assert_eq!(task["labels"], json!({"user": "7"}));
    assert_eq!(task["parent"], "batch-1");
    let detect = &task["stages"][0];
    assert_eq!(
        [
            &detect["label"],
            &detect["total"],
            &detect["unit"],
            &detect["weight"]
        ],
        [
            &json!("Detection"),
            &json!(2),
            &json!("persons"),
            &json!(1.0)
        ]
    );
    assert_eq!(task["stages"][1]["label"], "render");
    assert_eq!(gateway.tracker().stats().channels, 1);
}

#[tokio::test]
async fn without_a_body_the_id_is_random() {
    let gateway = gateway();
    let (status, urls) = told(&gateway.create_task(&post(), "".into()).await);
    assert_eq!(status, 201);
    let id: progress_core::TaskId = urls["task_id"].as_str().unwrap().parse().unwrap();
    assert!(id.is_random());
    assert_eq!(snapshot(&gateway, id.as_str()).await["state"], "running");
}

#[tokio::test]
async fn a_queued_task_starts_with_its_first_event() {
    let gateway = gateway();
    create(&gateway, &json!({"task_id": "t", "queued": true})).await;
    assert_eq!(snapshot(&gateway, "t").await["state"], "queued");
    let event = r#"{"event_type":"log","data":{"message":"here I am"}}"#;
    assert_eq!(crate::support::publish(&gateway, "t", event).await.0, 202);
    assert_eq!(snapshot(&gateway, "t").await["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn silence_is_as_it_was_asked_for() {
    let gateway = gateway();
    create(&gateway, &json!({"task_id": "t", "silence_ms": 2_000})).await;
    let mut events = gateway.tracker().subscribe("t");
    let began = tokio::time::Instant::now();
    loop {
        match events.next().await {
            Some(progress_core::Frame::Event(event)) if event.event.event_type() == "stalled" => {
                break;
            }
            Some(_) => {}
            None => panic!("it ended"),
        }
    }
    assert_eq!(began.elapsed().as_millis() / 1_000, 2);
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_with_its_limit() {
    let gateway = gateway();
    let long = "x".repeat(129);
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), "".into())).collect();
    let stages: Vec<_> = (0..1_025).map(|n| json!({"path": n.to_string()})).collect();
    let channels: Vec<_> = (0..17).map(|n| n.to_string()).collect();
    for (body, code, field, limit) in [
        (json!([]), "INVALID_BODY", "body", Value::Null),
        (
            json!({"task_id": 7}),
            "INVALID_BODY",
            "task_id",
            Value::Null,
        ),
        (
            json!({"task_id": "no spaces"}),
            "INVALID_TASK_ID",
            "task_id",
            Value::Null,
        ),
        (
            json!({"parent": "no spaces"}),
            "INVALID_TASK_ID",
            "parent",
            Value::Null,
        ),
        (json!({"name": 7}), "INVALID_BODY", "name", Value::Null),
        (json!({"kind": long}), "INVALID_BODY", "kind", json!(128)),
        (
            json!({"labels": {"a": 1}}),
            "INVALID_BODY",
            "labels",
            Value::Null,
        ),
        (
            json!({"labels": {"a": long}}),
            "INVALID_BODY",
            "labels",
            json!(128),
        ),
        (json!({"labels": many}), "INVALID_BODY", "labels", json!(64)),
        (
            json!({"channels": "jobs"}),
            "INVALID_BODY",
            "channels",
            Value::Null,
        ),
        (
            json!({"channels": ["_tasks"]}),
            "INVALID_CHANNEL",
            "channel",
            json!(128),
        ),
        (
            json!({"channels": [""]}),
            "INVALID_CHANNEL",
            "channels",
            json!(128),
        ),
        (
            json!({"channels": channels}),
            "INVALID_BODY",
            "channels",
            json!(16),
        ),
        (json!({"stages": {}}), "INVALID_BODY", "stages", Value::Null),
        (
            json!({"stages": [7]}),
            "INVALID_BODY",
            "stages[0]",
            Value::Null,
        ),
        (
            json!({"stages": [{}]}),
            "INVALID_BODY",
            "stages[0].path",
            Value::Null,
        ),
        (
            json!({"stages": [{"path": "a"}, {"path": "b", "weight": "heavy"}]}),
            "INVALID_BODY",
            "stages[1].weight",
            Value::Null,
        ),
        (
            json!({"stages": [{"path": "a", "weight": -1}]}),
            "INVALID_BODY",
            "stages",
            json!(1e9),
        ),
        (
            json!({"stages": [{"path": "a", "unit": long}]}),
            "INVALID_BODY",
            "stages",
            json!(128),
        ),
        (
            json!({"stages": [{"path": "a//b"}]}),
            "INVALID_BODY",
            "stages",
            Value::Null,
        ),
        (
            json!({"stages": stages}),
            "INVALID_BODY",
            "stages",
            json!(1_024),
        ),
        (
            json!({"queued": "yes"}),
            "INVALID_BODY",
            "queued",
            Value::Null,
        ),
        (
            json!({"silence_ms": 0}),
            "INVALID_BODY",
            "silence_ms",
            json!(1),
        ),
        (
            json!({"silence_ms": -5}),
            "INVALID_BODY",
            "silence_ms",
            Value::Null,
        ),
    ] {
        let response = gateway.create_task(&post(), body.to_string().into()).await;
        let told = refusal(&response);
        assert_eq!(told, (400, code.to_owned(), json!(field), limit), "{body}");
    }
    let (status, code, field, _) = refusal(&gateway.create_task(&post(), "{".into()).await);
    assert_eq!(
        (status, &*code, field),
        (400, "INVALID_BODY", json!("body"))
    );
    assert_eq!(gateway.tracker().stats().tasks, 0);
}

#[tokio::test]
async fn an_id_that_is_live_or_retained_is_taken() {
    let gateway = gateway();
    let body = json!({"task_id": "t"});
    assert_eq!(create(&gateway, &body).await.0, 201);
    let taken = || async {
        let response = gateway.create_task(&post(), body.to_string().into()).await;
        let (status, code, ..) = refusal(&response);
        (status, code)
    };
    assert_eq!(taken().await, (409, "ALREADY_EXISTS".to_owned()));
    let end = r#"{"event_type":"complete","data":{"status":"completed"}}"#;
    crate::support::publish(&gateway, "t", end).await;
    assert_eq!(taken().await, (409, "ALREADY_EXISTS".to_owned()));
}

#[tokio::test]
async fn channels_and_parents_take_a_permission_of_their_own() {
    let tracker = ProgressTracker::new();
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new().publishing())
        .build();
    assert_eq!(
        create(&gateway, &json!({"task_id": "a", "parent": "b"}))
            .await
            .0,
        201
    );
    let channel = json!({"task_id": "c", "channels": ["jobs"]});
    let (status, body) = create(&gateway, &channel).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("FORBIDDEN")));

    // Closed by default; but a bad id is told to anybody.
    let closed = Gateway::new(ProgressTracker::new());
    assert_eq!(create(&closed, &json!({})).await.0, 403);
    assert_eq!(create(&closed, &json!({"task_id": "?"})).await.0, 400);
}

#[tokio::test]
async fn past_the_number_of_tasks_it_is_to_be_tried_again() {
    let limits = progress_core::Limits::default().tasks(1);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new().publishing())
        .build();
    assert_eq!(create(&gateway, &json!({})).await.0, 201);
    let response = gateway.create_task(&post(), "".into()).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    let (status, code, _, limit) = refusal(&response);
    assert_eq!((status, &*code, limit), (503, "TOO_MANY_TASKS", json!(1)));
}

#[tokio::test]
async fn urls_are_absolute_under_a_base_url() {
    let base = "https://jobs.example.org/x/".parse().unwrap();
    let gateway = builder().base_url(base).prefix("/api").build();
    let (_, urls) = create(&gateway, &json!({"task_id": "t"})).await;
    assert_eq!(
        urls["websocket_url"],
        "wss://jobs.example.org/x/api/ws/progress/t"
    );
    assert_eq!(
        urls["sse_url"],
        "https://jobs.example.org/x/api/sse/progress/t"
    );
    for bad in ["jobs.example.org", "/api", "ftp://a", "http://a/?b=c", ""] {
        assert!(bad.parse::<progress_web::BaseUrl>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn channels_are_counted_before_anybody_is_asked_about_each() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[derive(Debug)]
    struct Counts(Arc<AtomicUsize>);

    #[progress_web::async_trait]
    impl progress_web::Authorizer for Counts {
        async fn authorize(
            &self,
            _: &http::request::Parts,
            _: &progress_web::Action,
        ) -> Result<progress_web::Principal, progress_web::Refusal> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(progress_web::Principal::anonymous())
        }
    }

    let asked = Arc::new(AtomicUsize::new(0));
    let authorizer = Counts(Arc::clone(&asked));
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(authorizer)
        .build();
    let channels: Vec<_> = (0..17).map(|n| format!("c{n}")).collect();
    let body = json!({"channels": channels}).to_string();
    let refused = gateway.create_task(&post(), body.into()).await;
    let told = refusal(&refused);
    assert_eq!(
        told,
        (400, "INVALID_BODY".into(), json!("channels"), json!(16))
    );
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_description_has_a_limit_of_its_own() {
    let gateway = gateway();
    let body = json!({"name": "x".repeat(1024 * 1024)}).to_string();
    let refused = gateway.create_task(&post(), body.into()).await;
    assert_eq!(refusal(&refused).0, 413);
}
