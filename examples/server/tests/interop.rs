//! Clients that are not ours, each a program of its own; see `interop/`.

mod support;

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use self::support::{PATIENCE, Server};

/// A running client, and what it prints.
struct Client {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{error}: `cargo xtask test` installs what {command:?} needs")
        });
        Self {
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("the client says nothing").unwrap()
    }

    async fn frame(&mut self) -> Value {
        let line = self.line().await.expect("the client has ended");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// A program of `interop/`, with what `cargo xtask test` has installed for it.
fn program(path: &str, url: &str) -> Command {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    let built = PathBuf::from(env!("CARGO_BIN_EXE_progress-server"));
    let installed = built.parent().unwrap().with_file_name("interop");
    let mut command = match path.ends_with(".py") {
        true => Command::new(installed.join("venv/bin/python")),
        false => Command::new("node"),
    };
    if path.ends_with(".mjs") {
        // Modules are looked for beside the program, so it runs where they are.
        let copy = installed.join(path);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(sources.join(path), &copy).unwrap();
        command.arg(copy);
    } else {
        command.arg(sources.join(path));
    }
    command.arg(url);
    command
}

/// Watches a task that comes later, to its end; gives how the client ended.
async fn watch(server: &Server, task: &str, mut client: Client) -> Value {
    let connected = client.frame().await;
    assert_eq!(connected["event_type"], "connected", "{connected}");
    assert_eq!(connected["data"]["resume"], "unknown");
    server.work(task).await;
    let reset = client.frame().await;
    assert_eq!(reset["event_type"], "reset", "{reset}");
    let mut seen = Vec::new();
    loop {
        let frame = client.frame().await;
        if !frame["closed"].is_null() {
            assert_eq!(
                seen.iter()
                    .map(|frame: &Value| &frame["event_type"])
                    .collect::<Vec<_>>(),
                [
                    "started",
                    "stage_change",
                    "progress_update",
                    "photo_approved",
                    "complete"
                ],
            );
            assert_eq!(seen[2]["data"]["progress"], 50.0);
            assert_eq!(seen[3]["data"], json!({"photo": 9, "by": "zoë"}));
            return frame;
        }
        seen.push(frame);
    }
}

#[tokio::test]
async fn python_websockets_watches_to_the_end() {
    let server = Server::start(&[]).await;
    let url = server.ws("/ws/progress/video-42");
    let client = Client::start(program("python/websockets_client.py", &url));
    let ended = watch(&server, "video-42", client).await;
    assert_eq!(
        ended,
        json!({"closed": 1000, "subprotocol": "progress.v1.json"})
    );
}

#[tokio::test]
async fn python_reads_message_pack() {
    let server = Server::start(&[]).await;
    let url = server.ws("/ws/progress/video-42");
    let client = Client::start(program("python/msgpack_client.py", &url));
    let ended = watch(&server, "video-42", client).await;
    assert_eq!(
        ended,
        json!({"closed": 1000, "subprotocol": "progress.v1.msgpack"})
    );
}

#[tokio::test]
async fn python_httpx_sse_watches_to_the_end() {
    let server = Server::start(&[]).await;
    let url = format!("{}/sse/progress/video-42", server.url);
    let client = Client::start(program("python/httpx_sse_client.py", &url));
    assert_eq!(
        watch(&server, "video-42", client).await,
        json!({"closed": 200})
    );
}

#[tokio::test]
async fn node_ws_watches_to_the_end_through_warp_too() {
    for adapter in ["axum", "warp"] {
        let server = Server::start(&["--adapter", adapter]).await;
        let url = server.ws("/ws/progress/video-42");
        let client = Client::start(program("node/ws.mjs", &url));
        let ended = watch(&server, "video-42", client).await;
        assert_eq!(
            ended,
            json!({"closed": 1000, "subprotocol": "progress.v1.json"})
        );
    }
}

#[tokio::test]
async fn an_event_source_that_has_seen_the_end_is_stopped_by_204() {
    let server = Server::start(&[]).await;
    let url = format!("{}/sse/progress/video-42", server.url);
    let client = Client::start(program("node/eventsource.mjs", &url));
    assert_eq!(
        watch(&server, "video-42", client).await,
        json!({"closed": 204})
    );
}

#[tokio::test]
async fn curl_shows_an_event_stream_as_it_comes() {
    let server = Server::start(&[]).await;
    let mut curl = Command::new("curl");
    curl.args(["-sN", &format!("{}/sse/progress/video-42", server.url)]);
    let mut client = Client::start(curl);
    assert_eq!(client.line().await.as_deref(), Some("retry: 1000"));
    server.work("video-42").await;
    let mut ids = Vec::new();
    while let Some(line) = client.line().await {
        ids.extend(line.strip_prefix("id: ").map(str::to_owned));
    }
    // The reset, and five events.
    assert_eq!(ids.len(), 6, "{ids:?}");
    assert!(ids[5].ends_with(":5"), "{ids:?}");
}
