//! Any query and any `Last-Event-ID`: the answer is a stream, 204 or an error of the protocol, and a
//! header that means nothing is never the reason for an error.

#![no_main]

use http::{HeaderValue, Request, request::Parts};
use libfuzzer_sys::fuzz_target;
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open};
use serde_json::Value;
use tokio::runtime::Builder;

fuzz_target!(|text: &str| {
    let (query, id) = text.split_once('\n').unwrap_or((text, ""));
    let Some(bare) = request(query) else { return };
    let mut with_id = bare.clone();
    if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
        with_id.headers.insert("last-event-id", id);
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let open = Open::new().named_ids().listing().channels().managing();
        let gateway = Gateway::builder(ProgressTracker::new())
            .authorizer(open)
            .build();
        let _task = gateway.tracker().task("a").start();
        for request in [&bare, &with_id] {
            let many = gateway.event_streams(request).await.map(drop);
            let one = gateway.event_stream(request, "a").await.map(drop);
            for answer in [many, one] {
                let Err(answer) = answer else { continue };
                if answer.status() != 204 {
                    assert_eq!(answer.status(), 400);
                    error(answer.body());
                }
            }
            drop(gateway.web_socket(request, "a").await);
            for answer in [
                gateway.tasks(request).await,
                gateway.clients(request).await,
                gateway.history(request, "a").await,
            ] {
                if answer.status() != 200 {
                    assert_eq!(answer.status(), 400);
                    error(answer.body());
                }
            }
        }
        let mut only_id = request("ids=a,b&channels=c").expect("it is a request");
        only_id.headers = with_id.headers;
        match gateway.event_streams(&only_id).await {
            Ok(stream) => assert_eq!(stream.status(), 200),
            Err(answer) => assert_eq!(answer.status(), 204),
        }
    });
});

fn error(body: &[u8]) {
    let body: Value = serde_json::from_slice(body).expect("it is JSON");
    assert!(body["error"]["code"].is_string(), "{body}");
}

fn request(query: &str) -> Option<Parts> {
    let request = Request::get(format!("/sse?{query}")).body(()).ok()?;
    Some(request.into_parts().0)
}
