//! A `redis-server` of a test's own.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Runs on a free port until it is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: u16,
    dir: PathBuf,
    /// Its settings, as arguments.
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// Ports that were tried by this process.
static PORTS: AtomicU16 = AtomicU16::new(0);

impl RedisServer {
    /// Starts one that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with settings of its own, as on a command line.
    pub(crate) fn start_with(settings: &str) -> Self {
        // None of those that the system gives away by itself: while the server is killed, who tries to
        // connect to it might be given that very port, find itself there, and keep it.
        let own = (std::process::id() % 9_000) as u16 * 7 % 12_000;
        for _ in 0..200 {
            // Nor one of a server that is killed for now.
            let port = 20_000 + (own + PORTS.fetch_add(1, Ordering::Relaxed) % 12_000) % 12_000;
            let Ok(free) = TcpListener::bind(("127.0.0.1", port)) else {
                continue;
            };
            drop(free);
            let dir = env::temp_dir().join(format!("progress-redis-{}-{port}", std::process::id()));
            fs::create_dir_all(&dir).expect("there is room for temporary files");
            let server = Self {
                port,
                dir,
                settings: settings.split(' ').map(str::to_owned).collect(),
                child: Mutex::new(None),
            };
            // Somebody else may have taken the port meanwhile.
            if server.try_run() {
                return server;
            }
        }
        panic!("redis-server does not start: is it installed?");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            child.kill().expect("it is this process's child");
            child.wait().expect("it was killed");
        }
    }

    /// Starts it again, on the same port.
    pub(crate) fn restart(&self) {
        assert!(self.try_run(), "its port is free again");
    }

    /// A connection of somebody else's.
    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).expect("it runs");
        let patience = Some(Duration::from_secs(5));
        socket.set_read_timeout(patience).expect("it is none");
        socket
    }

    /// Has it do something, in its inline form, and gives the answer's first bytes.
    pub(crate) fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 16_384];
        let length = socket.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// What it counts, by its name in INFO.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let info = self.ask("INFO").expect("it runs");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.unwrap_or_else(|| panic!("no {name} in {info}"));
        value.parse().expect("a number")
    }

    /// Has the process stop or go on, by a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("there is such a program").success());
    }

    fn try_run(&self) -> bool {
        let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .arg("--dir")
            .arg(&self.dir)
            .args(self.settings.iter().filter(|word| !word.is_empty()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            return false;
        };
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < patience && matches!(child.try_wait(), Ok(None)) {
            if self.ask("PING").is_ok_and(|answer| answer == "+PONG\r\n") {
                let mut held = self.child.lock().unwrap_or_else(PoisonError::into_inner);
                *held = Some(child);
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _may_be_gone = child.kill();
        let _reaped = child.wait();
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            let _may_be_gone = child.kill();
            let _reaped = child.wait();
        }
        let _left_behind = fs::remove_dir_all(&self.dir);
    }
}
