//! How fast one node's events go to Redis: `throughput redis://127.0.0.1:6379 [seconds]`.
#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::{
    env,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use progress_core::{
    Data, Epoch, Event, Position, Seq, TaskId, Timestamp,
    transport::{Claim, NodeId, Transport},
};
use progress_redis::RedisTransport;

const TASKS: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("which Redis?")?;
    let seconds = args.next().map_or(Ok(5), |text| text.parse())?;
    let transport = RedisTransport::builder(url).build()?;
    let node = NodeId::random();
    let run = Epoch::new(u64::try_from(Timestamp::now().as_millis())?);
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let task = TaskId::random();
        let claim = Claim::Start {
            node: node.clone(),
            channels: Vec::new(),
        };
        transport.claim(&task, run, claim).await?;
        tasks.push(task);
    }
    for (name, key) in [("milestones", ""), ("State", r#","key":"a""#)] {
        let data = says(key)?;
        let (began, mut sent) = (Instant::now(), 0_usize);
        while began.elapsed() < Duration::from_secs(seconds) {
            let events = (sent..sent + 1_024).map(|n| event(&tasks[n % TASKS], run, n, &data));
            for answer in transport.append(events.collect()).await {
                answer?;
            }
            sent += 1_024;
        }
        let rate = sent as f64 / began.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} events/s");
    }
    Ok(())
}

/// 300 bytes, about.
fn says(key: &str) -> Result<Data, Box<dyn Error>> {
    let json = format!(
        r#"{{"task_id":"t","epoch":"1","seq":1,"event_type":"measured"{key},
        "timestamp":"2026-01-01T00:00:00.000Z","data":{{"text":"{}"}}}}"#,
        "x".repeat(120)
    );
    Ok(Event::from_json(json.as_bytes())?.data().clone())
}

fn event(task: &TaskId, run: Epoch, n: usize, data: &Data) -> Arc<Event> {
    let position = Position::new(run, Seq::new(n as u64 + 1));
    let now = Timestamp::now();
    Arc::new(Event::numbered(
        task.clone(),
        position,
        Seq::ZERO,
        now,
        data.clone(),
    ))
}
