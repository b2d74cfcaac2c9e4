//! TLS ends at the proxy.

use std::process::Stdio;

use reqwest::header::LOCATION;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use super::{
    clients::{behind, note},
    proxy::{Kind, NAME, Proxy},
    support::PATIENCE,
};

#[tokio::test]
async fn an_event_stream_comes_over_tls_and_http2_event_by_event() {
    let server = behind(&[]).await;
    note(&server, "video-42", 0).await;
    let proxy = Proxy::before(Kind::Nginx, &[&server]).await;
    let port = proxy.tls.port();
    let curl = std::env::var_os("CURL").unwrap_or_else(|| "curl".into());
    let mut curl = Command::new(curl)
        .args([
            "--no-progress-meter",
            "--no-buffer",
            "--include",
            "--http2",
            "--noproxy",
            "*",
        ])
        .arg("--cacert")
        .arg(proxy.certificate())
        .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
        .arg(format!(
            "https://{NAME}:{port}/sse/progress/video-42?replay=none"
        ))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut until = async |what: &str| loop {
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("it comes").unwrap().expect("it goes on");
        if line.contains(what) {
            return line;
        }
    };
    assert_eq!(until("HTTP/").await.trim(), "HTTP/2 200");
    until("strict-transport-security").await;
    until(r#""event_type":"connected""#).await;
    for n in 1..=5 {
        note(&server, "video-42", n).await;
        until(&format!(r#""data":{{"n":{n}}}"#)).await;
    }
}

#[tokio::test]
async fn who_comes_without_tls_is_sent_there() {
    let server = behind(&[]).await;
    let proxy = Proxy::before(Kind::Nginx, &[&server]).await;
    let client = proxy
        .http()
        .resolve(NAME, proxy.redirecting)
        .build()
        .unwrap();
    let url = format!("http://{NAME}:{}/tasks/video-42", proxy.redirecting.port());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 301);
    let to = answer.headers()[LOCATION].to_str().unwrap();
    assert_eq!(to, format!("https://{NAME}/tasks/video-42"));
}
