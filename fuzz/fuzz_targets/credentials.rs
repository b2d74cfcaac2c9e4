//! Whatever stands where credentials are looked for, nobody gets in without one that is ours, no panic
//! and no fault of the server comes of it, and no refusal repeats it.
//!
//! The lines of the input: query, `Authorization`, `Cookie`, `Sec-WebSocket-Protocol`, `Origin`, first
//! message.

#![no_main]

use http::{HeaderValue, Request, request::Parts};
use libfuzzer_sys::fuzz_target;
use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Gateway, Output, Principal, Refusal};
use tokio::runtime::Builder;

/// Lets in who knows what nobody can guess.
#[derive(Debug)]
struct Closed(String);

#[progress_web::async_trait]
impl Authorizer for Closed {
    async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
        self.authenticate(request).await
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        match request.headers.get("authorization") {
            Some(header) if header.as_bytes() == self.0.as_bytes() => Ok(Principal::anonymous()),
            _ => Err(Refusal::Unauthenticated),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = lines.next().unwrap_or_default();
    let Ok(query) = std::str::from_utf8(query) else {
        return;
    };
    let Ok(request) = Request::get(format!("/ws/progress/a?{query}")).body(()) else {
        return;
    };
    let mut parts = request.into_parts().0;
    parts.headers.insert("upgrade", HeaderValue::from_static("websocket"));
    for name in ["authorization", "cookie", "sec-websocket-protocol", "origin"] {
        if let Ok(value) = HeaderValue::from_bytes(lines.next().unwrap_or_default()) {
            parts.headers.append(name, value);
        }
    }
    let message = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let key = progress_core::TaskId::random();
        let gateway = Gateway::builder(ProgressTracker::new())
            .authorizer(Closed(format!("Bearer {key}")))
            .insecure_query_token("legacy")
            .build();
        let _task = gateway.tracker().task("a").start();
        for answer in [
            gateway.task(&parts, "a").await,
            gateway.tasks(&parts).await,
            gateway.issue_ticket(&parts, "{\"task_id\":\"a\"}".to_owned().into()).await,
            gateway.event_stream(&parts, "a").await.expect_err("nobody gets in"),
        ] {
            let status = answer.status().as_u16();
            assert!(matches!(status, 400 | 401), "{status}");
        }
        let one = gateway.web_socket(&parts, "a").await;
        let many = gateway.web_sockets(&parts).await;
        for mut session in [one, many] {
            session.on_text(&message);
            let mut outputs = Vec::new();
            while session.next_batch(&mut outputs).await {}
            let Some(Output::Close(close)) = outputs.last() else {
                panic!("it is closed: {outputs:?}");
            };
            assert!(matches!(close.code, 1008 | 4400 | 4401), "{close:?}");
            for output in &outputs {
                if let Output::Frame { text, .. } = output {
                    let text = String::from_utf8_lossy(text);
                    assert!(text.contains("\"rejected\""), "{text}");
                }
            }
        }
    });
});
