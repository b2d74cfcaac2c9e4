//! What a proxy writes down of requests: no credential, and no line of a client's making.

use reqwest::header::{AUTHORIZATION, COOKIE, REFERER};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    clients::{behind, note, open},
    proxy::{Kind, NAME, Proxy, Times, nobody},
    support::PATIENCE,
};

const SECRET: &str = "hush-b7f3e0";

/// Waits until the logs tell of something.
async fn until_written(proxy: &Proxy, what: &str) {
    let written = async {
        while !proxy.written().iter().any(|(_, text)| text.contains(what)) {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(PATIENCE, written).await;
    in_time.unwrap_or_else(|_| panic!("{:?} does not tell of {what}", proxy.kind));
}

/// Shows every kind of credential in each place where it can stand.
async fn show_all(proxy: &Proxy) {
    let query = format!("?grant=g1.{SECRET}&ticket=t1.{SECRET}&access_token={SECRET}");
    for path in ["/sse/progress/logged", "/tasks/logged"] {
        let request = proxy
            .get(&format!("{path}{query}"))
            .header(AUTHORIZATION, format!("Bearer {SECRET}"))
            .header(COOKIE, format!("progress_token={SECRET}"))
            .header(REFERER, format!("https://{NAME}/{query}"));
        let _cut_off = request.send().await;
    }
    let subprotocol = format!("progress.v1.json, bearer.{SECRET}");
    let headers = [("sec-websocket-protocol", &*subprotocol)];
    let path = format!("/ws/progress/logged{query}");
    drop(open(proxy, &path, &headers).await);
}

fn assert_secret(proxy: &Proxy) {
    for (file, text) in proxy.written() {
        assert!(!text.contains(SECRET), "{file}: {text}");
    }
}

#[tokio::test]
async fn no_log_has_a_credential() {
    let server = behind(&[]).await;
    note(&server, "logged", 0).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        show_all(&proxy).await;
        for path in [
            "/sse/progress/logged",
            "/tasks/logged",
            "/ws/progress/logged",
        ] {
            until_written(&proxy, path).await;
        }
        assert_secret(&proxy);
    }
}

/// Errors are told with the request that they are of.
#[tokio::test]
async fn no_log_has_a_credential_of_a_request_that_failed() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind, &[nobody()], Times::AsTheyAre).await;
        show_all(&proxy).await;
        until_written(&proxy, "/tasks/logged").await;
        assert_secret(&proxy);
    }
}

#[tokio::test]
async fn no_client_makes_a_line_of_a_log_or_of_a_head() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let path = "/tasks/a%0d%0aX-Injected:%20yes%0d%0a%22logged%22";
        let places = match kind {
            Kind::Nginx => vec![proxy.address, proxy.redirecting],
            Kind::Caddy => vec![proxy.address],
        };
        for place in places {
            let mut stream = TcpStream::connect(place).await.unwrap();
            let port = proxy.address.port();
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {NAME}:{port}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            timeout(PATIENCE, stream.read_to_string(&mut answer))
                .await
                .unwrap()
                .unwrap();
            let injected = answer.lines().any(|line| line.starts_with("X-Injected"));
            assert!(!injected, "{kind:?}: {answer}");
        }
        until_written(&proxy, "logged").await;
        for (file, text) in proxy.written() {
            let forged = text.lines().any(|line| line.starts_with("X-Injected"));
            assert!(!forged, "{file}: {text}");
        }
    }
}
