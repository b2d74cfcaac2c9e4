//! Any body as events of a task: as lines, and as JSON. What is accepted and what is refused are
//! all of it, each in its place; the log has what was accepted, and every answer has its form, as
//! has every message of what was accepted, in every preset's shape.

#![no_main]

use std::time::Duration;

use http::{Request, request::Parts};
use libfuzzer_sys::fuzz_target;
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open, Output, encoders::presets};
use serde_json::Value;
use tokio::{runtime::Builder, time::timeout};

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        for media in ["application/x-ndjson", "application/json"] {
            let gateway = gateway();
            let task = gateway.tracker().task("fuzzed").share().await;
            let before = task.expect("it is new").head().seq().get();
            let body = bytes.to_vec().into();
            let response = gateway.publish(&post(media), "fuzzed", body).await;
            let answer: Value = serde_json::from_slice(response.body()).expect("it is JSON");
            if response.status() != 202 {
                assert!(response.status().is_client_error(), "{answer}");
                assert!(answer["error"]["code"].is_string(), "{answer}");
                continue;
            }
            let accepted = answer["accepted"].as_u64().expect("it is said");
            let errors = answer["errors"].as_array().expect("it is said");
            let places: Vec<_> = errors.iter().map(|error| error["index"].as_u64()).collect();
            assert!(places.is_sorted());
            if media == "application/x-ndjson" {
                let lines = bytes.split(|byte| *byte == b'\n');
                let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count() as u64;
                let omitted = answer["errors_omitted"].as_u64().unwrap_or(0);
                assert_eq!(accepted + errors.len() as u64 + omitted, lines);
            }
            let head = gateway
                .tracker()
                .snapshot("fuzzed")
                .await
                .expect("it is held");
            // A repetition is accepted and not appended; what is implied is appended besides.
            assert_eq!(head.seq.get() > before, accepted > 0);
            for format in presets::NAMES {
                told_as(&gateway, format).await;
            }
        }
    });
});

fn gateway() -> Gateway {
    Gateway::builder(ProgressTracker::new())
        .authorizer(Open::new().publishing().named_ids())
        .presets()
        .build()
}

/// Whatever was published, in whatever shape: it is an object of JSON, and nothing breaks.
async fn told_as(gateway: &Gateway, format: &str) {
    let request = Request::get(format!("/?format={format}")).body(());
    let request = request.expect("it is a request").into_parts().0;
    let mut session = gateway.web_socket(&request, "fuzzed").await;
    let mut outputs = Vec::new();
    while let Ok(true) = timeout(Duration::ZERO, session.next_batch(&mut outputs)).await {
        for output in outputs.drain(..) {
            match output {
                Output::Frame { text, .. } => {
                    let message: Value = serde_json::from_slice(&text).expect("JSON");
                    assert!(message.is_object(), "{message}");
                }
                Output::Close(close) => assert_eq!(close.code, 1000),
                _ => {}
            }
        }
    }
}

fn post(media: &str) -> Parts {
    let request = Request::post("/").header("content-type", media).body(());
    request.expect("it is a request").into_parts().0
}
