//! A TCP proxy before Redis that does what networks do.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::io::tcp::socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// Stands before a Redis until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

/// What goes wrong, for all connections and both ways.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// How long everything takes, and up to how much longer by chance.
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) bytes_per_second: Option<u32>,
    pub(crate) frozen: Frozen,
    /// New connections are closed at once.
    pub(crate) refuses: bool,
}

/// What is not forwarded any more, though nobody is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Frozen {
    #[default]
    Nothing,
    /// What is published to those who have subscribed.
    Pushes,
    All,
}

#[derive(Debug)]
struct Faults {
    redis: u16,
    weather: watch::Sender<Weather>,
    /// Goes up when all connections are to be reset.
    resets: watch::Sender<u64>,
    /// Messages in whose middle a connection is to be reset.
    cuts: AtomicUsize,
    dice: AtomicU64,
}

impl Proxy {
    pub(crate) async fn before(redis: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let faults = Arc::new(Faults {
            redis,
            weather: watch::Sender::default(),
            resets: watch::Sender::default(),
            cuts: AtomicUsize::new(0),
            dice: AtomicU64::new(u64::from(port) | 1),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&faults)));
        Self {
            port,
            faults,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.faults.weather.send_replace(weather);
    }

    pub(crate) fn freeze(&self, frozen: Frozen) {
        self.weather(Weather {
            frozen,
            ..Weather::default()
        });
    }

    /// Resets all connections.
    pub(crate) fn reset_all(&self) {
        self.faults.resets.send_modify(|resets| *resets += 1);
    }

    /// Resets the connection on which something comes next, in the middle of that.
    pub(crate) fn cut_one(&self) {
        self.faults.cuts.store(1, Ordering::Release);
    }

    /// Whether that has happened.
    pub(crate) fn has_cut(&self) -> bool {
        self.faults.cuts.load(Ordering::Acquire) == 0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        // The connections end with the runtime, or now.
        self.reset_all();
    }
}

impl Faults {
    fn below(&self, limit: u64) -> u64 {
        let mut dice = self.dice.load(Ordering::Relaxed);
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.store(dice, Ordering::Relaxed);
        dice % limit.max(1)
    }

    fn takes_cut(&self) -> bool {
        let cut = |cuts: usize| cuts.checked_sub(1);
        let taken = (self.cuts).fetch_update(Ordering::AcqRel, Ordering::Acquire, cut);
        taken.is_ok()
    }
}

async fn accept(listener: TcpListener, faults: Arc<Faults>) {
    while let Ok((client, _)) = listener.accept().await {
        if !faults.weather.borrow().refuses {
            let faults = Arc::clone(&faults);
            tokio::spawn(async move {
                // Whatever ends it, both ends see it end.
                let _ended = link(client, &faults).await;
            });
        }
    }
}

async fn link(client: TcpStream, faults: &Arc<Faults>) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // What is not forwarded is to wait at Redis, and not here.
    socket.set_recv_buffer_size(16 * 1024)?;
    let redis = socket
        .connect(([127, 0, 0, 1], faults.redis).into())
        .await?;
    client.set_nodelay(true)?;
    redis.set_nodelay(true)?;
    let mut resets = faults.resets.subscribe();
    let (from_client, to_client) = client.into_split();
    let (from_redis, to_redis) = redis.into_split();
    let listens = &AtomicBool::new(false);
    let up = Way {
        faults,
        listens,
        is_up: true,
    };
    let down = Way { is_up: false, ..up };
    let mut to_redis = Sink(to_redis);
    let mut to_client = Sink(to_client);
    let ended = tokio::select! {
        _reset = resets.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        ended = up.pump(from_client, &mut to_redis) => ended,
        ended = down.pump(from_redis, &mut to_client) => ended,
    };
    if ended.is_err() {
        for sink in [&to_redis, &to_client] {
            // With it, closing sends a reset.
            let _gone = SockRef::from(sink.0.as_ref()).set_linger(Some(Duration::ZERO));
        }
    }
    ended
}

struct Sink(OwnedWriteHalf);

/// One of the two ways of a connection.
#[derive(Clone, Copy)]
struct Way<'a> {
    faults: &'a Faults,
    /// Whether the client has subscribed to something.
    listens: &'a AtomicBool,
    is_up: bool,
}

impl Way<'_> {
    async fn pump(self, from: OwnedReadHalf, to: &mut Sink) -> io::Result<()> {
        let (queue, due) = mpsc::channel(64);
        tokio::select! {
            ended = self.read(from, queue) => ended,
            ended = self.write(due, &mut to.0) => ended,
        }
    }

    async fn read(
        self,
        mut from: OwnedReadHalf,
        queue: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut weather = self.faults.weather.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let warm = weather.wait_for(|weather| !self.is_frozen(weather.frozen));
            drop(warm.await);
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let bytes = buffer[..length].to_vec();
            if self.is_up && contains(&bytes, b"SUBSCRIBE") {
                self.listens.store(true, Ordering::Release);
            }
            let now = *weather.borrow();
            let jitter = self.faults.below(now.jitter.as_micros() as u64);
            let due = Instant::now() + now.delay + Duration::from_micros(jitter);
            if queue.send((due, bytes)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(
        self,
        mut due: mpsc::Receiver<(Instant, Vec<u8>)>,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        let mut weather = self.faults.weather.subscribe();
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            let warm = weather.wait_for(|weather| !self.is_frozen(weather.frozen));
            drop(warm.await);
            if bytes.len() > 1 && self.faults.takes_cut() {
                to.write_all(&bytes[..bytes.len() / 2]).await?;
                // So that the half is with the reader before the reset, which may overtake it.
                sleep(Duration::from_millis(1)).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            to.write_all(&bytes).await?;
            let rate = weather.borrow().bytes_per_second;
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(
                    bytes.len() as f64 / f64::from(rate),
                ))
                .await;
            }
        }
        Ok(())
    }

    fn is_frozen(self, frozen: Frozen) -> bool {
        match frozen {
            Frozen::Nothing => false,
            Frozen::Pushes => !self.is_up && self.listens.load(Ordering::Acquire),
            Frozen::All => true,
        }
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|some| some == word)
}
