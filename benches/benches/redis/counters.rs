//! What of a million counts a second comes to Redis.

use std::time::{Duration, Instant};

use progress_benches::{
    rounds::Effort,
    table::{Row, Table},
};

use crate::{broker::Broker, nodes::Node};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    let broker = Broker::start();
    let worker = Node::start(&broker);
    let tasks = worker.tasks(TASKS);
    let counts: Vec<_> = tasks
        .iter()
        .map(|task| task.stage("count").total(u64::MAX))
        .collect();
    // Their first is published at once.
    for count in &counts {
        count.inc(1);
    }
    let seconds = effort.repeat(5_000) as f64 / 1_000.0;
    let heads = || -> u64 { tasks.iter().map(|task| task.head().seq().get()).sum() };
    broker.reset();
    let before = heads();
    let cpu = broker.cpu();
    let (began, mut done) = (Instant::now(), 0_u64);
    while began.elapsed().as_secs_f64() < seconds {
        // A thousandth of a second's worth, each of another task.
        for count in &counts {
            count.inc(1);
        }
        done += counts.len() as u64;
        let due = began + Duration::from_secs_f64(done as f64 / A_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = began.elapsed().as_secs_f64();
    let (published, cpu) = (broker.calls("publish"), broker.cpu() - cpu);
    let a_second = |count: f64| count / took / TASKS as f64;
    let updates = a_second((heads() - before) as f64);
    table.push(Row::new("counts", done as f64 / took, "/s").at_least(A_SECOND * 0.99));
    table.push(Row::new("updates of a task", updates, "/s").at_most(10.0));
    // With those of the live list of tasks.
    let messages = a_second(published);
    table.push(Row::new("messages about a task", messages, "/s"));
    table.push(Row::new(
        "Redis for all of them",
        cpu / took * 100.0,
        "% of a core",
    ));
}

const TASKS: usize = 1_000;
const A_SECOND: f64 = 1_000_000.0;
