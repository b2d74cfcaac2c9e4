//! How many events a second go from one node to another.

use std::time::{Duration, Instant};

use progress_benches::{
    rounds::{Effort, median},
    table::{Row, Table},
};
use progress_core::Task;

use crate::{
    broker::Broker,
    nodes::{Measured, Node, Watched},
    raw::Raw,
};

pub(crate) fn rows(effort: Effort, table: &mut Table) {
    let broker = Broker::start();
    let mut raw = Raw::start(&broker, TASKS);
    let (worker, web) = (Node::start(&broker), Node::start(&broker));
    let tasks = worker.tasks(TASKS);
    let watched = web.watch(&tasks);
    let turn = Duration::from_millis(effort.repeat(2_000));
    let rounds = effort.rounds.min(7);
    let (mut by_hand, mut own) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        by_hand.push(Cost::of(&broker, || by_hand_for(&mut raw, turn)));
        own.push(Cost::of(&broker, || for_turn(&tasks, &watched, turn)));
    }
    assert_eq!(watched.gaps(), 0, "all fits into what a task keeps");
    let ratio =
        |of: fn(&Cost) -> f64| median(own.iter().zip(&by_hand).map(|(own, raw)| of(own) / of(raw)));
    let value = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of));
    let rate = |cost: &Cost| cost.rate;
    let cpu = |cost: &Cost| cost.cpu;
    table.push(
        Row::new("milestones, one node to another", value(&own, rate), "/s")
            .beside(value(&by_hand, rate), ratio(rate))
            .at_least(60_000.0)
            .ratio_at_least(0.8),
    );
    table.push(
        Row::new("Redis for 100k of them", value(&own, cpu), "CPU s")
            .beside(value(&by_hand, cpu), ratio(cpu))
            .at_most(0.7),
    );
}

struct Cost {
    /// Events a second.
    rate: f64,
    /// Seconds of Redis's for 100 000.
    cpu: f64,
}

impl Cost {
    fn of(broker: &Broker, work: impl FnOnce() -> u64) -> Self {
        let (began, cpu) = (Instant::now(), broker.cpu());
        let events = work() as f64;
        Self {
            rate: events / began.elapsed().as_secs_f64(),
            cpu: (broker.cpu() - cpu) / events * 100_000.0,
        }
    }
}

fn by_hand_for(raw: &mut Raw, turn: Duration) -> u64 {
    let (began, before) = (Instant::now(), raw.sent());
    while began.elapsed() < turn {
        raw.send(256, 0);
    }
    raw.settle();
    raw.sent() - before
}

/// Publishes as fast as it is seen elsewhere: never further ahead than what every task keeps.
fn for_turn(tasks: &[Task], watched: &Watched, turn: Duration) -> u64 {
    let (began, before) = (Instant::now(), watched.count());
    let mut sent = 0;
    while began.elapsed() < turn {
        for task in tasks {
            for _ in 0..EACH {
                task.emit(Measured::at(0)).expect("it is live");
            }
        }
        sent += tasks.len() as u64 * EACH;
        watched.until((before + sent).saturating_sub(AHEAD));
    }
    watched.until(before + sent);
    sent
}

const TASKS: usize = 100;
/// Events of a task in a row.
const EACH: u64 = 8;
/// Events that are not seen yet, of all tasks; each keeps 1 024.
const AHEAD: u64 = 20_000;
