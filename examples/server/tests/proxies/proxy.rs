//! nginx and Caddy as operators run them: with the files of `docs/deploy`.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rcgen::generate_simple_self_signed;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::support::PATIENCE;

/// The host that the files are for.
pub(crate) const NAME: &str = "progress.example.org";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Nginx, Self::Caddy];
}

/// What is set otherwise than in the file, besides addresses and directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    AsTheyAre,
    /// Silence that is borne for 75 s is for 3 s, heads are waited for 1 s and not 10 s.
    Short,
}

/// A proxy on ports of its own; killed on drop.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    /// Where it speaks plain HTTP.
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS, and where it sends clients there from; nginx only.
    pub(crate) tls: SocketAddr,
    pub(crate) redirecting: SocketAddr,
    dir: TempDir,
    _process: Child,
}

impl Proxy {
    /// Before one node or two, which need not be there, with the file of `docs/deploy`.
    pub(crate) async fn start(kind: Kind, nodes: &[SocketAddr], times: Times) -> Self {
        let said = file(match kind {
            Kind::Nginx => "nginx.conf",
            Kind::Caddy => "Caddyfile",
        });
        Self::with(kind, &said, nodes, times).await
    }

    /// The same with what that file would say.
    pub(crate) async fn with(kind: Kind, said: &str, nodes: &[SocketAddr], times: Times) -> Self {
        for _ in 0..5 {
            if let Some(proxy) = Self::try_start(kind, said, nodes, times).await {
                return proxy;
            }
        }
        panic!("{kind:?}: others have taken each port that was free");
    }

    /// Nothing, if somebody else has taken a port meanwhile.
    async fn try_start(kind: Kind, said: &str, nodes: &[SocketAddr], times: Times) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let [address, tls, redirecting] = free_addresses();
        let mut said = placed(kind, said, nodes, [address, tls, redirecting], dir.path());
        if times == Times::Short {
            said = set(&said, "75s", "3s");
            said = set(&said, "10s", "1s");
        }
        let mut process = match kind {
            Kind::Nginx => nginx(&said, dir.path()),
            Kind::Caddy => caddy(&said, dir.path()),
        };
        let ready = async {
            while TcpStream::connect(address).await.is_err() {
                if process.try_wait().unwrap().is_some() {
                    return false;
                }
                sleep(Duration::from_millis(20)).await;
            }
            true
        };
        let is_ready = timeout(PATIENCE, ready).await.expect("it starts or fails");
        let written = fs::read_to_string(dir.path().join("stderr")).unwrap();
        let is_taken = written.contains("in use");
        assert!(is_ready || is_taken, "{kind:?}: {written}");
        is_ready.then_some(Self {
            kind,
            address,
            tls,
            redirecting,
            dir,
            _process: process,
        })
    }

    /// The URL of a route, for clients of [`http`](Self::http).
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{NAME}:{}{path}", self.address.port())
    }

    /// A client that finds the proxy under its name.
    pub(crate) fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(NAME, self.address)
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http().build().unwrap().get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http().build().unwrap().post(self.url(path))
    }

    /// The certificate that it shows.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// All that it has written, by file.
    pub(crate) fn written(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.dir.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|ext| ext == "log"));
        let stderr = self.dir.path().join("stderr");
        logs.chain([stderr])
            .map(|file| {
                let text = fs::read(&file).unwrap();
                let text = String::from_utf8_lossy(&text).into_owned();
                (file.display().to_string(), text)
            })
            .collect()
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let [address, ..] = free_addresses();
    address
}

/// A file of `docs/deploy`.
pub(crate) fn file(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy");
    fs::read_to_string(dir.join(name)).unwrap()
}

/// The file, for these addresses and this directory.
fn placed(
    kind: Kind,
    said: &str,
    nodes: &[SocketAddr],
    own: [SocketAddr; 3],
    dir: &Path,
) -> String {
    let dir = dir.display().to_string();
    let [address, tls, redirecting] = own;
    match kind {
        Kind::Nginx => {
            let mut said = set(said, "127.0.0.1:8091", &nodes[0].to_string());
            let second = "server 127.0.0.1:8092 max_fails=0;";
            said = match nodes.get(1) {
                Some(node) => set(&said, "127.0.0.1:8092", &node.to_string()),
                None => set(&said, second, ""),
            };
            // The plain port of the proxied server, which the file does not have, is where others find TLS.
            let both = format!("listen {address}; listen {tls} ssl http2;");
            said = set(&said, "listen 443 ssl http2;", &both);
            let all = format!("listen {address} default_server;");
            said = set(&said, "listen 80 default_server;", &all);
            let all = format!("listen {tls} ssl default_server;");
            said = set(&said, "listen 443 ssl default_server;", &all);
            said = set(&said, "listen 80;", &format!("listen {redirecting};"));
            said = set(&said, "/etc/ssl/progress", &dir);
            set(&said, "/var/log/nginx", &dir)
        }
        Kind::Caddy => {
            let mut said = set(said, "127.0.0.1:8091", &nodes[0].to_string());
            let second = nodes.get(1).map(|node| format!(" {node}"));
            said = set(&said, " 127.0.0.1:8092", &second.unwrap_or_default());
            let port = address.port();
            let site = format!("http://{NAME}:{port} {{\n\tbind 127.0.0.1");
            said = set(&said, &format!("{NAME} {{"), &site);
            said = set(&said, "localhost:2019", &tls.to_string());
            set(&said, "/var/log/caddy", &dir)
        }
    }
}

/// Replaces what has to be there.
pub(crate) fn set(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the file does not say {from}");
    text.replace(from, to)
}

fn nginx(said: &str, dir: &Path) -> Child {
    let own = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), own.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("progress.conf"), said).unwrap();
    let d = dir.display();
    // What a distribution's own file says around it, and worse: all is compressed, all is logged.
    let around = format!(
        "daemon off; master_process off; pid {d}/pid; error_log {d}/nginx.error.log info; events {{}}
         http {{
             client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/fastcgi;
             uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
             gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;
             access_log {d}/access.log;
             include {d}/progress.conf;
         }}"
    );
    fs::write(dir.join("nginx.conf"), around).unwrap();
    run(
        "nginx",
        &["-p", ".", "-e", "stderr", "-c", "nginx.conf"],
        dir,
    )
}

fn caddy(said: &str, dir: &Path) -> Child {
    fs::write(dir.join("Caddyfile"), said).unwrap();
    let args = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    run("caddy", &args, dir)
}

fn run(program: &str, args: &[&str], dir: &Path) -> Child {
    let variable = program.to_uppercase();
    let program = std::env::var_os(&variable).unwrap_or_else(|| program.into());
    let stderr = File::create(dir.join("stderr")).unwrap();
    // nginx reads its files relative to where it was built for, unless it is told all of the path.
    let args = args.iter().map(|arg| match *arg {
        "." => dir.display().to_string(),
        "nginx.conf" => dir.join(arg).display().to_string(),
        _ => (*arg).to_owned(),
    });
    Command::new(&program)
        .args(args)
        .current_dir(dir)
        // Where Caddy keeps what is its own.
        .env("HOME", dir)
        .env("XDG_DATA_HOME", dir)
        .env("XDG_CONFIG_HOME", dir)
        .stdin(Stdio::null())
        .stdout(stderr.try_clone().unwrap())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}; `cargo xtask test` installs it"))
}

fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
