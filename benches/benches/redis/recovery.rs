//! How soon after Redis is back watchers are right again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use progress_benches::{
    rounds::Effort,
    table::{Row, Table},
};

use crate::{
    broker::Broker,
    nodes::{Measured, Node},
};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    let broker = Broker::start();
    let (worker, web) = (Node::start(&broker), Node::start(&broker));
    let tasks = worker.tasks(TASKS);
    let watched = web.watch(&tasks);
    let mut worst = 0.0_f64;
    for round in 0..effort.rounds.min(5) {
        let over = AtomicBool::new(false);
        let sent = std::sync::atomic::AtomicU64::new(0);
        let before = watched.count();
        let took = scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    for task in &tasks {
                        task.emit(Measured::at(0)).expect("it is live");
                        sent.fetch_add(1, Ordering::AcqRel);
                    }
                    sleep(Duration::from_millis(20));
                }
            });
            sleep(Duration::from_millis(300));
            broker.server.kill();
            // Away for long enough that the pauses between tries are at their longest.
            sleep(Duration::from_millis(1_000 + 137 * round as u64));
            broker.server.restart();
            let back = Instant::now();
            // All that was published until now, while it was away too.
            watched.until(before + sent.load(Ordering::Acquire));
            let took = back.elapsed().as_secs_f64();
            over.store(true, Ordering::Release);
            took
        });
        watched.until(before + sent.load(Ordering::Acquire));
        worst = worst.max(took);
    }
    assert_eq!(watched.gaps(), 0, "all fits into what a task keeps");
    table.push(Row::new("all right again after a kill, the worst", worst, "s").at_most(1.5));
}

const TASKS: usize = 100;
