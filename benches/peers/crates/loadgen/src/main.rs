//! Opens many WebSocket / SSE / socket.io subscribers, publishes progress events, prints one JSON line.
//! Single-threaded on purpose: it may take at most one of the machine's cores.
mod http;
mod procfs;
mod proto;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Url;
use proto::{client_frame, scan_declared, scan_ts, Msg, Parser};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, sleep_until, timeout};

const HELP: &str = "\
loadgen fanout|replay [options]      (fanout with --events 0 measures idle connections)
  --proto ws|sse|socketio   subscriber protocol (ws)
  --url URL                 subscriber URL with {task}
  --post URL                publish by POST, URL with {task} ...
  --trigger URL             ... or GET this once and let the server publish; may hold
                            {events} {rate} {tasks} {prefix}; task ids are PREFIX-0 .. PREFIX-(T-1)
  --body TEXT               POST body with {task} {seq} {ts_ns}
  --join TEXT               message sent by each subscriber once connected, with {task}
  --conns N --tasks T --events E (per task)
  --rate R                  events per second over all tasks (0 = as fast as the server answers)
  --window W                never be more than W events ahead of the slowest subscriber (0 = no limit)
  --publishers P            POST connections; event k goes over connection k mod P (1)
  --server-pid PID          repeatable; children are counted too
  --settle-ms MS            wait after connecting (300)
  --timeout S --idle-timeout S   stop after S in all (120), or S without a delivery (3)
  --label TEXT              copied to the output
Targets must be on the loopback interface.";

const BODY: &str = r#"{"task_id":"{task}","seq":{seq},"kind":"progress","ts_ns":{ts_ns},"status":"running","progress":0.4321,"current":4321,"total":10000,"message":"Processing batch 4321 of 10000: embedding documents","step":{"name":"embed","index":3,"total":7},"metadata":{"worker":"worker-07","queue":"default","attempt":1}}"#;

#[derive(Clone, Copy, PartialEq)]
enum Proto {
    Ws,
    Sse,
    SocketIo,
}

struct Opt {
    replay: bool,
    proto: Proto,
    url: String,
    post: Option<String>,
    trigger: Option<String>,
    body: String,
    join: Option<String>,
    prefix: String,
    conns: usize,
    tasks: usize,
    events: usize,
    rate: f64,
    window: usize,
    publishers: usize,
    pids: Vec<u32>,
    settle: Duration,
    timeout: Duration,
    idle_timeout: Duration,
    label: String,
}

impl Opt {
    fn parse() -> Result<Self, Box<dyn std::error::Error>> {
        let mut a = pico_args::Arguments::from_env();
        let secs = Duration::from_secs_f64;
        let mode = a.subcommand()?.unwrap_or_default();
        let opt = Opt {
            replay: mode == "replay",
            proto: match a.opt_value_from_str::<_, String>("--proto")?.as_deref() {
                None | Some("ws") => Proto::Ws,
                Some("sse") => Proto::Sse,
                Some("socketio") => Proto::SocketIo,
                Some(other) => return Err(format!("unknown --proto {other}").into()),
            },
            url: a.value_from_str("--url")?,
            post: a.opt_value_from_str("--post")?,
            trigger: a.opt_value_from_str("--trigger")?,
            body: a.opt_value_from_str("--body")?.unwrap_or(BODY.into()),
            join: a.opt_value_from_str("--join")?,
            prefix: format!("t{:x}", now_ns() / 1000),
            conns: a.value_from_str("--conns")?,
            tasks: a.opt_value_from_str("--tasks")?.unwrap_or(1),
            events: a.value_from_str("--events")?,
            rate: a.opt_value_from_str("--rate")?.unwrap_or(0.0),
            window: a.opt_value_from_str("--window")?.unwrap_or(0),
            publishers: a.opt_value_from_str("--publishers")?.unwrap_or(1),
            pids: a.values_from_str("--server-pid")?,
            settle: Duration::from_millis(a.opt_value_from_str("--settle-ms")?.unwrap_or(300)),
            timeout: secs(a.opt_value_from_str("--timeout")?.unwrap_or(120.0)),
            idle_timeout: secs(a.opt_value_from_str("--idle-timeout")?.unwrap_or(3.0)),
            label: a.opt_value_from_str("--label")?.unwrap_or_default(),
        };
        let rest = a.finish();
        if !rest.is_empty() || !["fanout", "replay"].contains(&mode.as_str()) {
            return Err(format!("bad arguments {mode:?} {rest:?}").into());
        }
        Ok(opt)
    }

    fn task(&self, i: usize) -> String {
        format!("{}-{}", self.prefix, i % self.tasks)
    }
}

struct Ctx {
    opt: Opt,
    start: Instant,
    buf: RefCell<Vec<u8>>,
    connecting: Semaphore,
    ready: Cell<usize>,
    failed: Cell<usize>,
    closed: Cell<usize>,
    connect_ns: RefCell<Vec<u64>>,
    full_ns: RefCell<Vec<u64>>, // replay: connect start until the last event, per subscriber
    latency_ns: RefCell<Vec<u64>>,
    received: Cell<u64>,
    declared: Cell<u64>, // superseded, and said to be by the frame that stands for them
    bytes: Cell<u64>,
    last_rx: Cell<Instant>,
    // Window: done[k] = subscribers that have their k-th event; all have the first `low` events.
    done: RefCell<Vec<u32>>,
    low: Cell<usize>,
    low_moved: Notify,
    published: Cell<usize>,
    publish_end: Cell<Instant>,
    post_errors: Cell<usize>,
}

fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
}

fn add<T: Copy + std::ops::Add<Output = T>>(c: &Cell<T>, n: T) {
    c.set(c.get() + n);
}

/// One subscriber: connects, gets ready, then counts events until the connection ends.
async fn subscriber(ctx: Rc<Ctx>, i: usize) {
    let was_ready = Cell::new(false);
    if let Err(e) = subscribe(&ctx, i, &was_ready).await {
        if ctx.failed.get() + ctx.closed.get() == 0 {
            eprintln!("subscriber {i}: {e}");
        }
    }
    add(
        if was_ready.get() {
            &ctx.closed
        } else {
            &ctx.failed
        },
        1,
    );
}

async fn subscribe(ctx: &Ctx, i: usize, was_ready: &Cell<bool>) -> std::io::Result<()> {
    let opt = &ctx.opt;
    let task = opt.task(i);
    let url = Url::parse(&opt.url.replace("{task}", &task))?;
    let mut slot = Some(ctx.connecting.acquire().await.unwrap());
    let begun = Instant::now();
    let (mut stream, head, rest) = http::open_subscriber(&url, opt.proto != Proto::Sse).await?;
    let mut parser = match opt.proto {
        Proto::Sse => Parser::sse(head.chunked),
        _ => Parser::ws(),
    };
    let join = opt
        .join
        .as_ref()
        .map(|j| client_frame(1, j.replace("{task}", &task).as_bytes()));
    let mut set_ready = || {
        was_ready.set(true);
        slot = None;
        add(&ctx.ready, 1);
        ctx.connect_ns
            .borrow_mut()
            .push(begun.elapsed().as_nanos() as u64);
    };
    let mut out = Vec::new(); // replies to send: pongs and protocol hellos
    if opt.proto != Proto::SocketIo {
        set_ready();
        out.extend(join.iter().flatten());
    }
    let mut count = 0;
    let mut on_bytes = |data: &[u8], out: &mut Vec<u8>| {
        add(&ctx.bytes, data.len() as u64);
        let (now, before, declared) = (now_ns(), count, ctx.declared.get());
        parser.feed(data, |msg| match msg {
            Msg::Data(text) => {
                if opt.proto == Proto::SocketIo {
                    match text {
                        b"2" => out.extend(client_frame(1, b"3")), // engine.io ping
                        [b'0', b'{', ..] => out.extend(client_frame(1, b"40")),
                        [b'4', b'0', ..] => {
                            set_ready();
                            out.extend(join.iter().flatten());
                        }
                        _ => {}
                    }
                }
                scan_declared(text, |n| {
                    // What comes before the first event, such as a start, is not ours to count.
                    let n = n.min((opt.events - count.min(opt.events)) as u64);
                    (0..n as usize).for_each(|k| ctx.delivered(count + k));
                    count += n as usize;
                    add(&ctx.declared, n);
                });
                scan_ts(text, |ts| {
                    ctx.latency_ns.borrow_mut().push(now.saturating_sub(ts));
                    ctx.delivered(count);
                    count += 1;
                });
            }
            Msg::Ping(body) => out.extend(client_frame(10, body)),
            Msg::Close => {}
        });
        if count != before {
            add(
                &ctx.received,
                (count - before) as u64 - (ctx.declared.get() - declared),
            );
            ctx.last_rx.set(Instant::now());
            if opt.replay && before < opt.events && count >= opt.events {
                ctx.full_ns
                    .borrow_mut()
                    .push(begun.elapsed().as_nanos() as u64);
            }
        }
    };
    on_bytes(&rest, &mut out);
    loop {
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        // All connections share one read buffer: it is only borrowed while a read is being handled.
        let n = poll_fn(|cx| {
            let buf = &mut *ctx.buf.borrow_mut();
            let mut rb = ReadBuf::new(buf);
            match Pin::new(&mut stream).poll_read(cx, &mut rb) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(r) => Poll::Ready(r.map(|()| {
                    on_bytes(rb.filled(), &mut out);
                    rb.filled().len()
                })),
            }
        })
        .await?;
        if n == 0 {
            return Ok(());
        }
    }
}

impl Ctx {
    /// A subscriber got its k-th event.
    fn delivered(&self, k: usize) {
        let mut done = self.done.borrow_mut();
        if k >= done.len() {
            done.resize(k + 1, 0);
        }
        done[k] += 1;
        let before = self.low.get();
        while done
            .get(self.low.get())
            .is_some_and(|n| *n as usize >= self.opt.conns)
        {
            add(&self.low, 1);
        }
        if self.low.get() != before {
            self.low_moved.notify_waiters();
        }
    }

    /// Waits until the slowest subscriber is less than `window` events behind; gives up after 2 s.
    async fn window(&self) {
        let w = self.opt.window;
        while w > 0 && self.published.get() / self.opt.tasks >= self.low.get() + w {
            let moved = self.low_moved.notified();
            if timeout(Duration::from_secs(2), moved).await.is_err() {
                self.low.set(usize::MAX / 2); // an event was lost: go on without the window
            }
        }
    }
}

/// Publishes every P-th event over one keep-alive connection.
async fn publisher(ctx: Rc<Ctx>, p: usize, begin: Instant) {
    let opt = &ctx.opt;
    let template = opt.post.clone().unwrap();
    let mut client = http::Client::default();
    for nth in (p..opt.events * opt.tasks).step_by(opt.publishers) {
        let (seq, task) = (nth / opt.tasks, opt.task(nth % opt.tasks));
        if opt.rate > 0.0 {
            sleep_until((begin + Duration::from_secs_f64(nth as f64 / opt.rate)).into()).await;
        }
        if !opt.replay {
            ctx.window().await;
        }
        add(&ctx.published, 1);
        let url = template.replace("{task}", &task);
        let body = opt
            .body
            .replace("{task}", &task)
            .replace("{seq}", &seq.to_string());
        let sent = async {
            let url = Url::parse(&url)?;
            let body = body.replace("{ts_ns}", &now_ns().to_string());
            client.request("POST", &url, body.as_bytes()).await
        };
        match sent.await {
            Ok(status) if (200..300).contains(&status) => {}
            other => {
                add(&ctx.post_errors, 1);
                if ctx.post_errors.get() == 1 {
                    eprintln!("POST {url}: {other:?}");
                }
            }
        }
        ctx.publish_end.set(Instant::now());
    }
}

async fn publish_all(ctx: &Rc<Ctx>) {
    let opt = &ctx.opt;
    if let Some(trigger) = &opt.trigger {
        let url = trigger
            .replace("{events}", &opt.events.to_string())
            .replace("{rate}", &opt.rate.to_string())
            .replace("{tasks}", &opt.tasks.to_string())
            .replace("{prefix}", &opt.prefix);
        let url = Url::parse(&url).expect("trigger URL");
        if let Err(e) = http::Client::default().request("GET", &url, b"").await {
            eprintln!("trigger: {e}");
        }
        ctx.published.set(opt.events * opt.tasks);
        ctx.publish_end.set(Instant::now());
        return;
    }
    let begin = Instant::now();
    let all: Vec<_> = (0..opt.publishers)
        .map(|p| tokio::task::spawn_local(publisher(ctx.clone(), p, begin)))
        .collect();
    for one in all {
        let _ = one.await;
    }
}

async fn connect_all(ctx: &Rc<Ctx>) {
    let opt = &ctx.opt;
    for i in 0..opt.conns {
        tokio::task::spawn_local(subscriber(ctx.clone(), i));
    }
    while ctx.ready.get() + ctx.failed.get() < opt.conns && ctx.start.elapsed() < opt.timeout {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Returns once all expected deliveries are here, or nothing has come for a while.
async fn drain(ctx: &Ctx, expected: u64) {
    let opt = &ctx.opt;
    while ctx.received.get() + ctx.declared.get() < expected && ctx.start.elapsed() < opt.timeout {
        let quiet_since = ctx.last_rx.get().max(ctx.publish_end.get());
        if quiet_since.elapsed() > opt.idle_timeout {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// p-quantile of a sorted list, in milliseconds with 3 digits.
fn quantile_ms(sorted: &[u64], p: f64) -> f64 {
    if sorted.is_empty() {
        return -1.0;
    }
    let at = ((sorted.len() - 1) as f64 * p).round() as usize;
    (sorted[at] as f64 / 1e3).round() / 1e3
}

fn digits(x: f64, n: i32) -> f64 {
    (x * 10f64.powi(n)).round() / 10f64.powi(n)
}

async fn run(ctx: Rc<Ctx>) {
    let opt = &ctx.opt;
    let expected = (opt.conns * opt.events) as u64;
    let rss_start = procfs::usage(&opt.pids).rss;
    if opt.replay {
        publish_all(&ctx).await;
    } else {
        connect_all(&ctx).await;
    }
    sleep(opt.settle).await;
    let before = procfs::usage(&opt.pids);
    let (own, machine) = (procfs::self_cpu_s(), procfs::machine());
    let begin = Instant::now();
    ctx.last_rx.set(begin);
    ctx.publish_end.set(begin);
    if opt.replay {
        connect_all(&ctx).await;
    } else if opt.events > 0 {
        let all = publish_all(&ctx);
        let _ = timeout(opt.timeout.saturating_sub(ctx.start.elapsed()), all).await;
    }
    drain(&ctx, expected).await;
    let machine_wall = begin.elapsed().as_secs_f64();
    let after = procfs::usage(&opt.pids);
    let own = procfs::self_cpu_s() - own;
    let machine_end = procfs::machine();
    let server_cpu = after.cpu_s - before.cpu_s;
    let wall = (ctx.last_rx.get() - begin).as_secs_f64().max(1e-9);
    let publish_s = (ctx.publish_end.get() - begin).as_secs_f64().max(1e-9);
    let received = ctx.received.get();
    let sort = |v: &RefCell<Vec<u64>>| {
        let mut v = v.borrow().clone();
        v.sort_unstable();
        v
    };
    let (lat, con, full) = (
        sort(&ctx.latency_ns),
        sort(&ctx.connect_ns),
        sort(&ctx.full_ns),
    );
    let mut line = serde_json::json!({
        "label": opt.label,
        "mode": if opt.replay { "replay" } else { "fanout" },
        "conns": opt.conns, "tasks": opt.tasks, "events": opt.events,
        "rate": opt.rate, "window": opt.window,
        "ready": ctx.ready.get(), "failed": ctx.failed.get(), "closed": ctx.closed.get(),
        "post_errors": ctx.post_errors.get(),
        "received": received, "declared": ctx.declared.get(), "expected": expected,
        "wall_s": digits(wall, 4),
        "deliveries_per_s": digits(received as f64 / wall, 0),
        "bytes": ctx.bytes.get(),
        "connect_p50_ms": quantile_ms(&con, 0.5), "connect_p99_ms": quantile_ms(&con, 0.99),
        "server_cpu_s": digits(server_cpu, 3),
        "cpu_s_per_million": digits(server_cpu * 1e6 / (received.max(1) as f64), 3),
        "loadgen_cpu_s": digits(own, 3),
        "other_cpu_share": digits((machine_end.0 - machine.0 - own - server_cpu).max(0.0) / machine_wall.max(0.01), 3),
        "steal_share": digits((machine_end.1 - machine.1) / machine_wall.max(0.01), 3),
        "rss_start": rss_start, "rss_connected": before.rss, "rss_end": after.rss,
    });
    let mut put = |k: &str, v: f64| line[k] = serde_json::json!(v);
    if opt.replay {
        put("complete", full.len() as f64);
        for (k, p) in [
            ("full_p50_ms", 0.5),
            ("full_p99_ms", 0.99),
            ("full_max_ms", 1.0),
        ] {
            put(k, quantile_ms(&full, p));
        }
    } else {
        for (k, p) in [
            ("lat_p50_ms", 0.5),
            ("lat_p95_ms", 0.95),
            ("lat_p99_ms", 0.99),
            ("lat_max_ms", 1.0),
        ] {
            put(k, quantile_ms(&lat, p));
        }
        put(
            "publish_per_s",
            digits(ctx.published.get() as f64 / publish_s, 0),
        );
        put(
            "rss_per_conn",
            digits(
                (before.rss as f64 - rss_start as f64) / opt.conns.max(1) as f64,
                0,
            ),
        );
    }
    println!("{line}");
}

fn main() {
    let opt = Opt::parse().unwrap_or_else(|e| {
        eprintln!("{e}\n{HELP}");
        std::process::exit(2);
    });
    let now = Instant::now();
    let ctx = Rc::new(Ctx {
        start: now,
        buf: RefCell::new(vec![0; 256 * 1024]),
        connecting: Semaphore::new(64),
        ready: Cell::default(),
        failed: Cell::default(),
        closed: Cell::default(),
        connect_ns: RefCell::default(),
        full_ns: RefCell::default(),
        latency_ns: RefCell::new(Vec::with_capacity(opt.conns * opt.events)),
        received: Cell::default(),
        declared: Cell::default(),
        bytes: Cell::default(),
        last_rx: Cell::new(now),
        done: RefCell::default(),
        low: Cell::default(),
        low_moved: Notify::new(),
        published: Cell::default(),
        publish_end: Cell::new(now),
        post_errors: Cell::default(),
        opt,
    });
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&rt, run(ctx));
    std::process::exit(0); // do not wait for the sockets to be closed one by one
}
