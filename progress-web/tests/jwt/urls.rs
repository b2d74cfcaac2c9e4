//! Keys of a server, and what a server can do about them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use progress_web::{
    Refusal,
    jwt::{BuildError, JwksUrlError, Jwt, JwtBuilder},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{advance, pause, resume, timeout},
};

use crate::support::{Issuer, claims, jwks, secs, who};

/// What the server says to whoever asks.
#[derive(Debug, Clone)]
enum Answer {
    Keys(String),
    Status(u16),
    Redirect(String),
    /// At the path `/moved` keys, else there.
    Moved(String),
    /// As many bytes as anybody takes, with no length said.
    Endless,
    /// Nothing.
    Silence,
}

/// A server of a JWKS, for as long as the test goes on.
#[derive(Debug, Clone)]
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => return,
            }
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().unwrap().clone();
        let keys = |keys: String| {
            let length = keys.len();
            format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{keys}"
            )
        };
        let redirect = |to: String| {
            format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
        };
        let text = match answer {
            Answer::Keys(set) => keys(set),
            Answer::Status(status) => {
                format!(
                    "HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
            }
            Answer::Redirect(to) => redirect(to),
            Answer::Moved(set) if request.starts_with(b"GET /moved ") => keys(set),
            Answer::Moved(_) => redirect("/moved".into()),
            Answer::Endless => {
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(head).await;
                while stream.write_all(&[b' '; 4096]).await.is_ok() {}
                return;
            }
            Answer::Silence => return std::future::pending().await,
        };
        let _ = stream.write_all(text.as_bytes()).await;
    }

    fn url(&self) -> String {
        format!("http://{}/keys?api_key=hidden", self.address)
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn jwt(&self) -> Jwt {
        self.jwt_with(|jwt| jwt)
    }

    fn jwt_with(&self, build: impl FnOnce(JwtBuilder) -> JwtBuilder) -> Jwt {
        let jwt = Jwt::builder().jwks_url_insecure_loopback(self.url());
        build(jwt).build().unwrap()
    }
}

/// Lets time pass for the authorizer, which then asks a real server.
async fn pass(seconds: u64) {
    pause();
    advance(secs(seconds)).await;
    resume();
}

/// Waits until the server has been asked that often.
async fn until_asked(server: &Server, times: usize) {
    let asked = async {
        while server.asked() < times {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), asked).await.unwrap();
}

#[tokio::test]
async fn keys_are_fetched_once_when_the_first_tokens_come() {
    let issuer = Issuer::rs256();
    let server = Server::start(Answer::Keys(jwks(&[issuer.jwk("a")]))).await;
    let jwt = server.jwt();
    assert_eq!(server.asked(), 0);
    let token = issuer.sign_as("a", &claims(json!({})));
    let all = join_all((0..50).map(|_| who(&jwt, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1);
    let unnamed = issuer.sign(&claims(json!({})));
    assert!(who(&jwt, &unnamed).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn rotated_key_is_fetched_by_its_id() {
    let (old, new) = (Issuer::es256(), Issuer::es256_next());
    let server = Server::start(Answer::Keys(jwks(&[old.jwk("old")]))).await;
    let jwt = server.jwt();
    let of_old = old.sign_as("old", &claims(json!({})));
    let of_new = new.sign_as("new", &claims(json!({})));
    assert!(who(&jwt, &of_old).await.is_ok());
    server.answer(Answer::Keys(jwks(&[old.jwk("old"), new.jwk("new")])));
    pass(31).await;
    assert!(who(&jwt, &of_new).await.is_ok());
    assert!(who(&jwt, &of_old).await.is_ok());
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn flood_of_made_up_ids_costs_one_fetch() {
    let issuer = Issuer::es256();
    let server = Server::start(Answer::Keys(jwks(&[issuer.jwk("a")]))).await;
    let jwt = server.jwt();
    let good = issuer.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &good).await.is_ok());
    pass(31).await;
    for n in 0..500 {
        let made_up = issuer.sign_as(&format!("made-up-{n}"), &claims(json!({})));
        assert_eq!(who(&jwt, &made_up).await, Err(Refusal::Unauthenticated));
    }
    assert_eq!(server.asked(), 2);
    assert!(who(&jwt, &good).await.is_ok());
}

#[tokio::test]
async fn keys_are_renewed_before_they_are_stale_while_nobody_waits() {
    let issuer = Issuer::es256();
    let server = Server::start(Answer::Keys(jwks(&[issuer.jwk("a")]))).await;
    let jwt = server.jwt_with(|jwt| jwt.jwks_fresh(secs(100)));
    let token = issuer.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &token).await.is_ok());
    server.answer(Answer::Silence);
    pass(85).await;
    assert!(who(&jwt, &token).await.is_ok());
    until_asked(&server, 2).await;
    assert!(who(&jwt, &token).await.is_ok());
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn unreachable_server_is_a_refusal_that_is_worth_another_try() {
    let issuer = Issuer::rs256();
    let server = Server::start(Answer::Status(500)).await;
    let jwt = server.jwt();
    let token = issuer.sign_as("a", &claims(json!({})));
    for _ in 0..20 {
        assert_eq!(who(&jwt, &token).await, Err(Refusal::Unavailable));
    }
    // The unknown id asks once more, no more than that.
    assert!(server.asked() <= 2);
    server.answer(Answer::Keys(jwks(&[issuer.jwk("a")])));
    pass(6).await;
    assert!(who(&jwt, &token).await.is_ok());
    let error = progress_web::ApiError::from(Refusal::Unavailable);
    assert_eq!(error.code().as_str(), "AUTH_UNAVAILABLE");
    let answer = error.to_response();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
}

#[tokio::test]
async fn last_good_keys_outlive_the_server_for_as_long_as_was_set() {
    let issuer = Issuer::rs256();
    let server = Server::start(Answer::Keys(jwks(&[issuer.jwk("a")]))).await;
    let jwt = server.jwt_with(|jwt| jwt.jwks_kept(secs(3_600)));
    let token = issuer.sign_as("a", &claims(json!({"exp": 4_102_444_800_u64})));
    assert!(who(&jwt, &token).await.is_ok());
    for bad in [
        Answer::Status(503),
        Answer::Keys("no keys".into()),
        Answer::Keys(jwks(&[])),
        Answer::Keys(jwks(&vec![issuer.jwk("a"); 101])),
        Answer::Endless,
        Answer::Redirect("https://attacker.example/keys".into()),
    ] {
        let asked = server.asked();
        server.answer(bad);
        pass(400).await;
        assert!(who(&jwt, &token).await.is_ok());
        assert_eq!(server.asked(), asked + 1);
    }
    pass(1_300).await;
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unavailable));
}

#[tokio::test]
async fn unknown_key_while_the_server_is_away_is_worth_another_try() {
    let (old, new) = (Issuer::es256(), Issuer::es256_next());
    let server = Server::start(Answer::Keys(jwks(&[old.jwk("old")]))).await;
    let jwt = server.jwt();
    let of_old = old.sign_as("old", &claims(json!({})));
    let of_new = new.sign_as("new", &claims(json!({})));
    assert!(who(&jwt, &of_old).await.is_ok());
    server.answer(Answer::Status(500));
    pass(31).await;
    assert_eq!(who(&jwt, &of_new).await, Err(Refusal::Unavailable));
    // Of a key that is there it is known what it does not verify.
    let forged = new.sign_as("old", &claims(json!({})));
    assert_eq!(who(&jwt, &forged).await, Err(Refusal::Unauthenticated));
    assert!(who(&jwt, &of_old).await.is_ok());
    server.answer(Answer::Keys(jwks(&[new.jwk("new")])));
    pass(31).await;
    assert!(who(&jwt, &of_new).await.is_ok());
    assert_eq!(who(&jwt, &of_old).await, Err(Refusal::Unauthenticated));
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_server_only() {
    let (issuer, attacker) = (Issuer::es256(), Issuer::es256_next());
    let set = jwks(&[issuer.jwk("a")]);
    let server = Server::start(Answer::Moved(set)).await;
    let token = issuer.sign_as("a", &claims(json!({})));
    assert!(who(&server.jwt(), &token).await.is_ok());
    let other = Server::start(Answer::Keys(jwks(&[attacker.jwk("a")]))).await;
    server.answer(Answer::Redirect(other.url()));
    let token = attacker.sign_as("a", &claims(json!({})));
    assert_eq!(who(&server.jwt(), &token).await, Err(Refusal::Unavailable));
    assert_eq!(other.asked(), 0);
    // In circles it goes a few times.
    let asked = server.asked();
    server.answer(Answer::Redirect("/keys".into()));
    assert_eq!(who(&server.jwt(), &token).await, Err(Refusal::Unavailable));
    assert!(server.asked() - asked <= 10);
}

#[tokio::test]
async fn published_secrets_are_no_keys() {
    let (secret, issuer) = (Issuer::hs256(), Issuer::rs256());
    let set = jwks(&[secret.jwk("secret"), issuer.jwk("a")]);
    let server = Server::start(Answer::Keys(set)).await;
    let jwt = server.jwt();
    let token = secret.sign_as("secret", &claims(json!({})));
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unauthenticated));
    let token = issuer.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &token).await.is_ok());
}

#[tokio::test]
async fn server_that_hangs_does_not_hold_up_tokens_of_other_keys() {
    let (here, there) = (Issuer::hs256(), Issuer::rs256());
    let server = Server::start(Answer::Silence).await;
    let jwt = server.jwt_with(|jwt| jwt.key(here.public.clone().kid("here")));
    for token in [
        here.sign_as("here", &claims(json!({}))),
        here.sign(&claims(json!({}))),
    ] {
        assert!(who(&jwt, &token).await.is_ok());
    }
    assert_eq!(server.asked(), 0);
    let waiting = who(&jwt, "no.token.at-all");
    assert_eq!(waiting.await, Err(Refusal::Unauthenticated));
    let token = there.sign_as("there", &claims(json!({})));
    // With the clock paused, its time passes as soon as there is nothing else to wait for.
    pause();
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unavailable));
}

#[test]
fn urls_are_https_or_of_this_machine() {
    let https = |url: &str| Jwt::builder().jwks_url(url).build().err();
    let loopback = |url: &str| Jwt::builder().jwks_url_insecure_loopback(url).build().err();
    let refused = |error| Some(BuildError::Url(error));
    assert_eq!(https("https://id.example.org/keys"), None);
    for url in [
        "http://id.example.org/keys",
        "http://127.0.0.1/keys",
        "ftp://a/",
    ] {
        assert_eq!(https(url), refused(JwksUrlError::NotHttps), "{url}");
    }
    for url in [
        "",
        "keys",
        "https://",
        "https://ada:pw@id.example.org/",
        "file:///keys",
    ] {
        assert_eq!(https(url), refused(JwksUrlError::Malformed), "{url}");
    }
    for url in [
        "http://127.0.0.1:9/keys",
        "http://[::1]:9/",
        "http://localhost/",
    ] {
        assert_eq!(loopback(url), None, "{url}");
    }
    for url in [
        "http://10.0.0.1/",
        "http://localhost.example.org/",
        "http://127.0.0.1.example.org/",
        "https://id.example.org/",
        "http://0.0.0.0/",
    ] {
        assert_eq!(loopback(url), refused(JwksUrlError::NotLoopback), "{url}");
    }
}

#[tokio::test]
async fn debug_and_log_show_no_query_of_a_url() {
    let server = Server::start(Answer::Status(500)).await;
    let builder = Jwt::builder().jwks_url_insecure_loopback(server.url());
    let jwt = builder.clone().build().unwrap();
    let shown = format!("{builder:?} {builder:#?} {jwt:?} {jwt:#?}");
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains(&server.address.to_string()), "{shown}");
}

#[tokio::test]
async fn clients_are_told_to_come_back_while_no_keys_can_be_had() {
    use progress_core::ProgressTracker;
    use progress_web::{Gateway, Output};

    let server = Server::start(Answer::Status(500)).await;
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(server.jwt())
        .build();
    let token = Issuer::rs256().sign(&claims(json!({})));
    let parts = crate::support::request(&token);
    let answer = gateway.task(&parts, "a").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    let mut session = gateway.web_socket(&parts, "a").await;
    let mut outputs = Vec::new();
    while session.next_batch(&mut outputs).await {}
    let Some(Output::Close(close)) = outputs.last() else {
        panic!("{outputs:?}")
    };
    assert_eq!((close.code, close.reason), (4014, "AUTH_UNAVAILABLE"));
}
