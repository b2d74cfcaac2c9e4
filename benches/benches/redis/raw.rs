//! What one would write by hand: XADD with an id of its own and PUBLISH, pipelined, one pipeline in
//! flight; and a subscriber that counts.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use progress_benches::events::now_us;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo,
    PushKind, Value, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::runtime::{Builder, Runtime};

use crate::{broker::Broker, nodes::TEXT};

pub(crate) struct Raw {
    publisher: (Runtime, MultiplexedConnection),
    _subscriber: (Runtime, MultiplexedConnection),
    came: Arc<Came>,
    channels: Vec<String>,
    sent: u64,
}

#[derive(Default)]
struct Came {
    count: AtomicU64,
    latencies: Mutex<Vec<f64>>,
}

impl Raw {
    pub(crate) fn start(broker: &Broker, channels: usize) -> Self {
        let came = Arc::<Came>::default();
        let channels: Vec<_> = (0..channels).map(|n| format!("raw:{{{n}}}")).collect();
        let publisher = connect(broker, |_| {});
        let subscriber = {
            let came = Arc::clone(&came);
            connect(broker, move |push| came.take(&push))
        };
        let mut link = subscriber.1.clone();
        subscriber
            .0
            .block_on(link.subscribe(&channels))
            .expect("it may");
        Self {
            publisher,
            _subscriber: subscriber,
            came,
            channels,
            sent: 0,
        }
    }

    /// Sends so many in one pipeline, and waits for its answers.
    pub(crate) fn send(&mut self, events: u64, sent_us: u64) {
        let mut pipeline = Pipeline::with_capacity(2 * events as usize);
        for _ in 0..events {
            let n = self.sent;
            self.sent += 1;
            let channel = &self.channels[n as usize % self.channels.len()];
            let body = format!(
                r#"{{"task_id":"{channel}","epoch":"18f2c1a7b3d","seq":{n},"event_type":"measured","timestamp":"2026-11-22T13:56:13.123Z","data":{{"sent_us":{sent_us},"text":"{TEXT}"}}}}"#
            );
            let mut add = redis::cmd("XADD");
            add.arg(channel).arg("MAXLEN").arg("~").arg(1_024);
            add.arg(format!("1700000000000-{}", n + 1))
                .arg("d")
                .arg(&body);
            pipeline.add_command(add);
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(channel).arg(&body);
            pipeline.add_command(publish);
        }
        let (runtime, link) = &mut self.publisher;
        let count = pipeline.len();
        let answers = runtime.block_on(link.send_packed_commands(&pipeline, 0, count));
        for answer in answers.expect("it is there") {
            assert!(!matches!(answer, Value::ServerError(_)), "{answer:?}");
        }
    }

    /// Waits until all that was sent has come.
    pub(crate) fn settle(&self) {
        while self.came.count.load(Ordering::Acquire) < self.sent {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn latencies(&self) -> Vec<f64> {
        std::mem::take(&mut *self.came.latencies.lock().expect("no panic"))
    }
}

impl Came {
    fn take(&self, push: &PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        if let Some(Value::BulkString(body)) = push.data.get(1) {
            let text = std::str::from_utf8(body).expect("it is text");
            let sent = text.split_once(r#""sent_us":"#).expect("it says").1;
            let sent = sent.split(',').next().and_then(|sent| sent.parse().ok());
            let sent: u64 = sent.expect("a number");
            if sent > 0 {
                let late = now_us().saturating_sub(sent) as f64 / 1_000.0;
                self.latencies.lock().expect("no panic").push(late);
            }
        }
        self.count.fetch_add(1, Ordering::Release);
    }
}

fn connect(
    broker: &Broker,
    pushed: impl Fn(PushInfo) + Send + Sync + 'static,
) -> (Runtime, MultiplexedConnection) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let info = broker.server.url().into_connection_info().expect("a URL");
    let settings = info.redis_settings().clone();
    let info = info
        .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let config = AsyncConnectionConfig::new().set_push_sender(Arc::new(move |push| {
        pushed(push);
        Ok::<(), Infallible>(())
    }));
    let client = Client::open(info).expect("a URL");
    let link = runtime.block_on(client.get_multiplexed_async_connection_with_config(&config));
    let link = link.expect("it is there");
    (runtime, link)
}
