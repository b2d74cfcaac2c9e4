//! Streams.

use futures_util::{Stream, StreamExt, stream};
use progress_core::Track;

use crate::{counted, started};

#[tokio::test(start_paused = true)]
async fn a_stream_counts_what_it_hands_out() {
    let (_tracker, task) = started();
    let mut items = stream::iter(0..4).track(&task.stage("s"));
    assert_eq!(Stream::size_hint(&items), (4, Some(4)));
    assert_eq!(StreamExt::next(&mut items).await, Some(0));
    assert_eq!(counted(&task).await, (Some(1), Some(4)));
    let rest: Vec<_> = StreamExt::collect(&mut items).await;
    assert_eq!(rest, [1, 2, 3]);
    assert_eq!(StreamExt::next(&mut items).await, None);
    assert_eq!(counted(&task).await, (Some(4), Some(4)));

    // One that is not `Unpin`, of unknown length, and not always ready.
    let (_tracker, task) = started();
    let slow = stream::unfold(0, |n| async move {
        tokio::task::yield_now().await;
        (n < 3).then_some((n, n + 1))
    });
    let seen: Vec<_> = StreamExt::collect(slow.track(&task.stage("s"))).await;
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(counted(&task).await, (Some(3), None));
}
