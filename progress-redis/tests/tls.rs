//! A Redis that is reached over TLS only, with certificates that the test makes.

mod server;

use std::{fs, net::TcpListener, sync::Arc, time::Duration};

use async_trait::async_trait;
use progress_core::{
    ProgressTracker,
    testing::conformance::{self, Bench},
    transport::Transport,
};
use progress_redis::{BuildError, RedisTransport, RedisTransportBuilder};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio::time::Instant;

use self::server::RedisServer;

/// A certificate and its key, in PEM.
struct Signed {
    certificate: String,
    key: String,
}

/// Who signs certificates.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is chance");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> Signed {
        let mut params = named(name);
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
        let key = KeyPair::generate().expect("there is chance");
        let certificate = params.signed_by(&key, &self.issuer);
        Signed {
            certificate: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A Redis with a TLS port, for the name `localhost`. The other one is the test's, to give orders.
struct TlsServer {
    server: RedisServer,
    authority: Authority,
    port: u16,
    _files: TempDir,
}

impl TlsServer {
    fn start(asks_clients: bool) -> Self {
        let authority = Authority::new("ours");
        let own = authority.sign("localhost");
        let files = tempfile::tempdir().expect("there is room for temporary files");
        let written = [
            ("ca", &authority.certificate),
            ("cert", &own.certificate),
            ("key", &own.key),
        ];
        let [ca, certificate, key] = written.map(|(name, text)| {
            let path = files.path().join(name);
            fs::write(&path, text).expect("there is room");
            path.to_str().expect("it is plain").to_owned()
        });
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let clients = if asks_clients { "yes" } else { "no" };
        let server = RedisServer::start_with(&format!(
            "--tls-port {port} --tls-auth-clients {clients} --tls-ca-cert-file {ca} \
             --tls-cert-file {certificate} --tls-key-file {key}"
        ));
        Self {
            server,
            authority,
            port,
            _files: files,
        }
    }

    fn node(&self) -> RedisTransportBuilder {
        self.node_at("localhost")
    }

    fn node_at(&self, name: &str) -> RedisTransportBuilder {
        RedisTransport::builder(format!("rediss://{name}:{}", self.port))
    }

    fn trusted(&self) -> RedisTransportBuilder {
        self.node().ca_certificate(&*self.authority.certificate)
    }
}

#[async_trait]
impl Bench for TlsServer {
    async fn connect(&self) -> Arc<dyn Transport> {
        Arc::new(self.trusted().build().expect("all is in order"))
    }

    async fn forget(&self) -> bool {
        self.server.ask("FLUSHALL").is_ok()
    }

    async fn cut(&self) -> bool {
        self.server.kill();
        true
    }

    async fn mend(&self) {
        self.server.restart();
    }
}

async fn reach(node: &RedisTransportBuilder) -> Result<(), String> {
    let node = node.clone().build().expect("all is in order");
    let deadline = Instant::now() + Duration::from_secs(10);
    match node.flush(deadline).await {
        Ok(()) => Ok(()),
        Err(_) => {
            let last = node.health().and_then(|health| health.last_error);
            Err(last.expect("it says why").error.to_string())
        }
    }
}

#[tokio::test]
async fn what_a_transport_does_it_does_over_tls() {
    let server = TlsServer::start(false);
    conformance::events_are_kept_in_their_order(&server).await;
    conformance::nothing_is_lost_once_watch_has_returned(&server).await;
    conformance::only_what_is_watched_is_published(&server).await;
    conformance::an_end_holds_what_the_run_before_held(&server).await;
    conformance::a_broker_that_forgot_is_told_again_under_the_same_ids(&server).await;
}

#[tokio::test]
async fn a_server_that_is_not_believed_is_refused_and_that_is_said() {
    let server = TlsServer::start(false);
    assert_eq!(reach(&server.trusted()).await, Ok(()));
    let stranger = Authority::new("a stranger's").certificate;
    for node in [server.node(), server.node().ca_certificate(stranger)] {
        let told = reach(&node).await.expect_err("nobody has signed it");
        assert!(told.contains("UnknownIssuer"), "{told}");
    }
    let other = server.node_at("127.0.0.1");
    let other = other.ca_certificate(&*server.authority.certificate);
    let told = reach(&other).await.expect_err("it has another name");
    assert!(told.contains("not valid for name"), "{told}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one() {
    let server = TlsServer::start(true);
    let told = reach(&server.trusted()).await.expect_err("it asks");
    assert!(told.contains("CertificateRequired"), "{told}");
    let own = server.authority.sign("worker");
    let node = server
        .trusted()
        .client_certificate(own.certificate, own.key);
    assert_eq!(reach(&node).await, Ok(()));
    let strange = Authority::new("a stranger's").sign("worker");
    let node = server.trusted();
    let node = node.client_certificate(strange.certificate, strange.key);
    assert!(reach(&node).await.is_err());
}

#[tokio::test]
async fn a_connection_over_tls_comes_back() {
    let server = TlsServer::start(false);
    let node = || {
        let transport = server.trusted().build().expect("all is in order");
        ProgressTracker::builder().transport(transport).build()
    };
    let (worker, web) = (node(), node());
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let mut frames = web.subscribe("t");
    frames.next().await.expect("a verdict");
    server.server.kill();
    task.pause("for a tape");
    server.server.restart();
    task.complete(()).expect("it has not ended");
    let watched = async { while frames.next().await.is_some() {} };
    let watched = tokio::time::timeout(Duration::from_secs(30), watched).await;
    watched.expect("its end comes");
    let health = web.transport_health().expect("it watches itself");
    assert!(health.reconnects >= 1, "{health:?}");
}

#[test]
fn certificates_are_judged_before_anything_connects() {
    let node = || RedisTransport::builder("rediss://localhost");
    let refused = |node: RedisTransportBuilder| match node.build() {
        Err(BuildError::Certificate(why)) => why,
        other => panic!("{other:?}"),
    };
    let authority = Authority::new("ours");
    let (one, other) = (authority.sign("one"), authority.sign("other"));
    for (node, why) in [
        (node().ca_certificate("not PEM"), "none in it"),
        (
            node().client_certificate("", &*one.key),
            "client's certificate",
        ),
        (
            node().client_certificate(&*one.certificate, "not PEM"),
            "client's key",
        ),
        (
            node().client_certificate(&*one.certificate, other.key),
            "certificate and key",
        ),
    ] {
        let told = refused(node);
        assert!(told.contains(why), "{told}");
    }
    assert!(
        node()
            .client_certificate(one.certificate, one.key)
            .build()
            .is_ok()
    );
    let plain = RedisTransport::builder("redis://localhost").ca_certificate(authority.certificate);
    assert_eq!(plain.build().err(), Some(BuildError::NotTls));
    let unchecked = RedisTransport::builder("rediss://localhost/#insecure");
    assert!(matches!(unchecked.build(), Err(BuildError::Url(_))));
}
