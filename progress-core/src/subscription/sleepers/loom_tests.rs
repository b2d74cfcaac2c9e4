//! Rounds and places, beside a publisher that takes all that there is.

use std::sync::Arc;

use loom::thread;

use super::Sleepers;
use crate::{
    loom_support::{block_on, model},
    sync::Mutex,
};

/// Something that is published, and those who sleep over it.
#[derive(Default)]
struct Topic {
    head: u64,
    sleepers: Sleepers,
}

fn publish(topic: &Mutex<Topic>) {
    let wakers = {
        let mut topic = topic.lock();
        topic.head += 1;
        topic.sleepers.take()
    };
    if let Some(storage) = wakers.wake() {
        topic.lock().sleepers.recycle(storage);
    }
}

/// Sleeps until so much was published, and leaves its place as a reader does.
fn sleep_until(topic: &Mutex<Topic>, head: u64) {
    let mut place = None;
    block_on(std::future::poll_fn(|cx| {
        let mut topic = topic.lock();
        if topic.head >= head {
            return std::task::Poll::Ready(());
        }
        topic.sleepers.arm(&mut place, cx.waker());
        std::task::Poll::Pending
    }));
    if let Some(place) = place {
        topic.lock().sleepers.release(&place);
    }
}

#[test]
fn loom_whoever_sleeps_is_woken_and_whoever_leaves_wakes_nobody() {
    model(|| {
        let topic = Arc::new(Mutex::new(Topic::default()));
        // One goes after the first: its place may be of a round that is over, and another's now.
        let readers = [1, 2].map(|head| {
            let topic = Arc::clone(&topic);
            thread::spawn(move || sleep_until(&topic, head))
        });
        publish(&topic);
        publish(&topic);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(
            topic
                .lock()
                .sleepers
                .take()
                .wake()
                .map(|storage| storage.len()),
            None
        );
    });
}
