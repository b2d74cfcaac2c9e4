//! How long an event is under way from one node to a watcher on another.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use progress_benches::{
    events::now_us,
    rounds::{Effort, quantile},
    table::{Row, Table},
};

use crate::{
    broker::Broker,
    nodes::{Measured, Node},
    raw::Raw,
};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    let broker = Broker::start();
    let mut raw = Raw::start(&broker, TASKS);
    let (worker, web) = (Node::start(&broker), Node::start(&broker));
    let tasks = worker.tasks(TASKS);
    let watched = web.watch(&tasks);
    for (rate, name, p50, p99) in [
        (1_000, "1 000/s", Some(1.0), 10.0),
        (10_000, "10 000/s", None, 50.0),
    ] {
        let ticks = effort.repeat(5_000);
        let each = rate / 1_000;
        paced(ticks, || raw.send(each, now_us()));
        raw.settle();
        let by_hand = raw.latencies();
        let before = watched.count();
        let mut next = 0;
        paced(ticks, || {
            for _ in 0..each {
                let task = &tasks[next % TASKS];
                next += 1;
                task.emit(Measured::at(now_us())).expect("it is live");
            }
        });
        watched.until(before + ticks * each);
        let own = watched.latencies();
        for (part, quantile_name, target) in [(0.5, "p50", p50), (0.99, "p99", Some(p99))] {
            let of = |all: &[f64]| quantile(all.iter().copied(), part);
            let (own, by_hand) = (of(&own), of(&by_hand));
            let row = Row::new(
                format!("{quantile_name} to another node at {name}"),
                own,
                "ms",
            );
            let row = row.beside(by_hand, own / by_hand);
            table.push(match target {
                Some(target) => row.at_most(target),
                None => row,
            });
        }
    }
}

/// Does it so many times, once a millisecond.
fn paced(ticks: u64, mut work: impl FnMut()) {
    let began = Instant::now();
    for tick in 0..ticks {
        let due = began + Duration::from_millis(tick);
        sleep(due.saturating_duration_since(Instant::now()));
        work();
    }
}

const TASKS: usize = 100;
