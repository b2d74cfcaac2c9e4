//! What watchers of a real server see: system A's figures, and the memory that they cost.

use std::time::{Duration, Instant};

use progress_benches::{
    events::now_us,
    rounds::{Effort, median, quantile},
    table::{Row, Table},
};
use tokio::{runtime::Builder, task::JoinSet};

use crate::{
    server::Server,
    watchers::{Sse, Ws},
};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = Server::start();
        latency(effort, &mut server, table).await;
        connection(effort, &server, table).await;
        watchers(effort, &mut server, table).await;
    });
}

async fn latency(effort: Effort, server: &mut Server, table: &mut Table) {
    let events = effort.repeat(1_000);
    let mut ws = Ws::open(server).await;
    server.publish(events, Duration::from_millis(1));
    let mut late = Vec::new();
    for _ in 0..events {
        let sent = ws.sent_us().await;
        late.push(now_us().saturating_sub(sent) as f64 / 1e3);
    }
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    table.push(Row::new("A: mean latency", mean, "ms").at_most(2_000.0));
    let p95 = quantile(late.into_iter(), 0.95);
    table.push(Row::new("A: P95 latency", p95, "ms").at_most(5_000.0));
}

/// From nothing to the first frame.
async fn connection(effort: Effort, server: &Server, table: &mut Table) {
    let mut times = Vec::new();
    for _ in 0..effort.repeat(100) {
        let start = Instant::now();
        let ws = Ws::open(server).await;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(ws);
    }
    table.push(Row::new("A: connection set-up", median(times.into_iter()), "ms").at_most(100.0));
}

/// A hundred of each kind: the time until all have a hundred events, and the server's memory.
async fn watchers(effort: Effort, server: &mut Server, table: &mut Table) {
    let each = effort.repeat(100);
    let events = effort.repeat(100);
    let mut watchers = JoinSet::new();
    for _ in 0..each {
        let (mut ws, mut sse) = (Ws::open(server).await, Sse::open(server).await);
        watchers.spawn(async move {
            for _ in 0..events {
                ws.sent_us().await;
            }
            // Open until all have been served.
            (Some(ws), None)
        });
        watchers.spawn(async move {
            for _ in 0..events {
                sse.event().await;
            }
            (None, Some(sse))
        });
    }
    let start = Instant::now();
    server.publish(events, Duration::ZERO);
    let open = watchers.join_all().await;
    let seconds = start.elapsed().as_secs_f64();
    table.push(Row::new(format!("A: {} subscribers", open.len()), seconds, "s").at_most(3.0));
    if let Some(peak) = server.peak_mb() {
        let name = format!("demo's peak, {each} WS + {each} SSE");
        table.push(Row::new(name, peak, "MB").at_most(80.0));
    }
}
