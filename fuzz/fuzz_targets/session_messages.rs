//! Any messages of a client: the session answers what is no command and goes on, and whatever it
//! says is a frame. Messages are cut at `0xff`, which neither text nor a command in MessagePack has.

#![no_main]

use http::{Request, request::Parts};
use libfuzzer_sys::fuzz_target;
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open, Output, Session};
use serde_json::Value;
use tokio::{runtime::Builder, time::timeout};

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let open = Open::new().named_ids().channels().cancelling();
        let gateway = Gateway::builder(ProgressTracker::new())
            .authorizer(open)
            .build();
        let _task = gateway.tracker().task("a").start();
        for protocol in ["progress.v1.json", "progress.v1.msgpack"] {
            let mut session = gateway.web_sockets(&request(protocol)).await;
            for message in bytes.split(|byte| *byte == 0xff) {
                match std::str::from_utf8(message) {
                    Ok(text) => session.on_text(text),
                    Err(_) => session.on_binary(message),
                }
                session.on_binary(message);
                if !read(&mut session).await {
                    break;
                }
            }
        }
    });
});

/// Reads what there is; false once it is closed, which only too many messages do.
async fn read(session: &mut Session) -> bool {
    let mut outputs = Vec::new();
    while let Ok(open) = timeout(std::time::Duration::ZERO, session.next_batch(&mut outputs)).await
    {
        assert!(open || outputs.is_empty());
        for output in outputs.drain(..) {
            let frame: Value = match output {
                Output::Frame { text, .. } => serde_json::from_slice(&text).expect("JSON"),
                Output::Binary(bytes) => rmp_serde::from_slice(&bytes).expect("MessagePack"),
                Output::Close(close) => {
                    assert_eq!(close.code, 4029);
                    return false;
                }
                _ => continue,
            };
            assert!(frame["event_type"].is_string() || frame["channel_seq"].is_u64());
        }
    }
    true
}

fn request(protocol: &str) -> Parts {
    let request = Request::get("/ws").header("sec-websocket-protocol", protocol);
    request.body(()).expect("it is a request").into_parts().0
}
