//! What a task takes in Redis.

use progress_benches::{
    rounds::Effort,
    table::{Row, Table},
};
use tokio::time::{Duration, Instant};

use crate::{
    broker::Broker,
    nodes::{Measured, Node},
};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    for updates in [10, 10_000] {
        let broker = Broker::start();
        let worker = Node::start(&broker);
        // What is there before any task, the functions among it.
        let first = worker.tasks(1);
        let before = broker.memory();
        let tasks = effort.repeat(1_000) as usize;
        let live: Vec<_> = (0..tasks).map(|_| start(&worker)).collect();
        for n in 0..updates {
            for task in &live {
                for stage in STAGES {
                    task.stage(stage).set(n);
                }
            }
        }
        for task in &live {
            for _ in 0..MILESTONES {
                task.emit(Measured::at(0)).expect("it is live");
            }
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let sent = worker.tracker.flush(deadline);
        worker.runtime.block_on(sent).expect("Redis is there");
        let each = (broker.memory() - before) / tasks as f64 / 1_024.0;
        let name = format!("a task after {updates} updates of each stage");
        table.push(Row::new(name, each, "KiB").at_most(9.0));
        drop((first, live));
    }
}

fn start(worker: &Node) -> progress_core::Task {
    let _entered = worker.runtime.enter();
    let id = progress_core::TaskId::random();
    let mut task = worker.tracker.task(id).name("a video").kind("video");
    for stage in STAGES {
        task = task.stage(stage, 1.0);
    }
    task.start().expect("its id is new")
}

const STAGES: [&str; 5] = ["script", "assets", "render", "thumbnail", "upload"];
const MILESTONES: usize = 10;
