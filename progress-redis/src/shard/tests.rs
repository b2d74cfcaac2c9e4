//! A shard over connections that do what a test wants, in time that passes as it wants.

use std::{fmt, sync::atomic::AtomicUsize};

use async_trait::async_trait;
use redis::PushInfo;

use super::*;
use crate::{client::Client, transport::Times};

/// A Redis of which a test says whether it is there, and whether what is published comes.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Scene>);

#[derive(Default)]
struct Scene {
    is_away: AtomicBool,
    is_silent: AtomicBool,
    tries: Mutex<Vec<Instant>>,
    /// How many channels each subscription was to.
    subscribed: Mutex<Vec<usize>>,
    connections: AtomicUsize,
    /// Of all connections, what they have for pushes.
    pushed: Mutex<Vec<Arc<Pushed>>>,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scene")
    }
}

#[derive(Debug)]
struct FakeClient {
    scene: Arc<Scene>,
    known: Known,
}

#[async_trait]
impl Connect for Fake {
    async fn connect(&self, pushed: Pushed) -> Result<Connection, Failure> {
        let scene = Arc::clone(&self.0);
        scene.tries.lock().expect("no panic").push(Instant::now());
        if scene.is_away.load(Ordering::Acquire) {
            return Err(Failure::Away(TransportError::new("away")));
        }
        let number = scene.connections.fetch_add(1, Ordering::AcqRel);
        let mut all = scene.pushed.lock().expect("no panic");
        all.push(Arc::new(pushed));
        drop(all);
        let known = Known {
            id: number.to_string(),
            addr: String::new(),
        };
        Ok(Arc::new(FakeClient { scene, known }))
    }

    fn patience(&self) -> Patience {
        Patience {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(2),
        }
    }
}

#[async_trait]
impl Client for FakeClient {
    fn known(&self) -> &Known {
        &self.known
    }

    async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        let words = command.args_iter().filter_map(|word| match word {
            redis::Arg::Simple(word) => Some(Value::BulkString(word.to_vec())),
            _ => None,
        });
        let words: Vec<_> = words.collect();
        if words[0] == Value::BulkString(b"PUBLISH".to_vec())
            && !self.scene.is_silent.load(Ordering::Acquire)
        {
            let all = self.scene.pushed.lock().expect("no panic");
            let last = all.last().cloned();
            drop(all);
            let data = words[1..].to_vec();
            if let Some(pushed) = last {
                pushed(PushInfo {
                    kind: PushKind::Message,
                    data,
                });
            }
        }
        Ok(Value::Nil)
    }

    async fn transact(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        Ok(vec![Value::Nil; commands.len()])
    }

    async fn subscribe(&self, channels: &[String]) -> Result<(), Failure> {
        let mut subscribed = self.scene.subscribed.lock().expect("no panic");
        subscribed.push(channels.len());
        Ok(())
    }

    async fn unsubscribe(&self, _: &[String]) -> Result<(), Failure> {
        Ok(())
    }

    async fn psubscribe(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn punsubscribe(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

fn shard(fake: &Fake) -> Arc<Shard> {
    let keys = Keys::new("pgs");
    let (arrivals, _nobody_reads) = Arrivals::new(keys.clone());
    let hour = Duration::from_secs(3600);
    let times = Times {
        retention: hour,
        stalled_after: hour,
        abandoned_after: hour,
    };
    let services = Services::new(&times, None);
    let probe_every = Duration::from_secs(1);
    Arc::new(Shard::new(
        fake.clone(),
        keys,
        probe_every,
        arrivals,
        services,
    ))
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_for_ever_every_50_to_500_ms() {
    let fake = Fake::default();
    fake.0.is_away.store(true, Ordering::Release);
    let shard = shard(&fake);
    let running = tokio::spawn(Arc::clone(&shard).supervise());
    sleep(Duration::from_secs(3600)).await;
    let tries = fake.0.tries.lock().expect("no panic").clone();
    let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    let first: Vec<_> = pauses[..5].iter().map(Duration::as_millis).collect();
    assert_eq!(first, [50, 100, 200, 400, 500]);
    assert!(pauses[4..].iter().all(|pause| *pause == LONGEST_PAUSE));
    assert!(tries.len() > 7_000, "{}", tries.len());
    fake.0.is_away.store(false, Ordering::Release);
    assert!(shard.call(&redis::cmd("PING")).await.is_err(), "not yet");
    sleep(LONGEST_PAUSE).await;
    shard.call(&redis::cmd("PING")).await.expect("it is there");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn connections_over_which_nothing_published_comes_are_replaced() {
    let fake = Fake::default();
    let shard = shard(&fake);
    let running = tokio::spawn(Arc::clone(&shard).supervise());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        fake.0.connections.load(Ordering::Acquire),
        2,
        "a pair, and it stays"
    );
    fake.0.is_silent.store(true, Ordering::Release);
    sleep(Duration::from_millis(3_500)).await;
    assert_eq!(
        fake.0.connections.load(Ordering::Acquire),
        4,
        "the next one"
    );
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_watched_is_watched_again_some_channels_at_a_time() {
    let fake = Fake::default();
    let shard = shard(&fake);
    let running = tokio::spawn(Arc::clone(&shard).supervise());
    for channel in 0..1_200 {
        let subscribed = shard.subscribe(channel.to_string()).await;
        subscribed.expect("it is there");
    }
    fake.0.subscribed.lock().expect("no panic").clear();
    let pushed = fake.0.pushed.lock().expect("no panic").last().cloned();
    (pushed.expect("a connection"))(PushInfo {
        kind: PushKind::Disconnection,
        data: Vec::new(),
    });
    sleep(Duration::from_secs(1)).await;
    let subscribed = fake.0.subscribed.lock().expect("no panic").clone();
    // With its own, on which it hears itself.
    assert_eq!(subscribed, [500, 500, 201]);
    running.abort();
}
