//! What people have reports itself.

use std::io::{BufRead, Read, Seek, Write};

use futures_util::{StreamExt, stream};
use progress_core::{ProgressTracker, Track, Tracked};
use static_assertions::assert_impl_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Outcome, events};

assert_impl_all!(Tracked<std::vec::IntoIter<u8>>: ExactSizeIterator, DoubleEndedIterator, Send);
assert_impl_all!(Tracked<std::fs::File>: Read, Write, Seek);
assert_impl_all!(Tracked<tokio::io::DuplexStream>: tokio::io::AsyncRead, tokio::io::AsyncWrite);
assert_impl_all!(Tracked<&'static [u8]>: BufRead, tokio::io::AsyncBufRead);

#[tokio::test]
async fn what_people_have_reports_itself() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start()?;
    let squares: Vec<u64> = (0..10).map(|n| n * n).track(&task.stage("items")).collect();
    let streamed: Vec<u64> = stream::iter(squares)
        .track(&task.stage("stream"))
        .collect()
        .await;
    let bytes = vec![0_u8; 100];
    let mut copy = Vec::new();
    let reader = task.stage("read").total(100);
    Read::read_to_end(&mut bytes.as_slice().track(&reader), &mut copy)?;
    let mut writer = Vec::new().track(&task.stage("write"));
    Write::write_all(&mut writer, &copy)?;
    assert_eq!(writer.into_inner(), bytes);
    let mut copy = Vec::new();
    let reader = task.stage("async_read").total(100);
    AsyncReadExt::read_to_end(&mut bytes.as_slice().track(&reader), &mut copy).await?;
    let mut writer = tokio::io::sink().track(&task.stage("async_write"));
    tokio::io::copy(&mut copy.as_slice(), &mut writer).await?;
    AsyncWriteExt::shutdown(&mut writer).await?;
    task.complete(streamed.len())?;

    let counts: Vec<_> = tracker
        .snapshot("t")
        .await?
        .stages
        .iter()
        .map(|stage| {
            (
                stage.path.to_string(),
                stage.current,
                stage.unit.as_deref() == Some("bytes"),
            )
        })
        .collect();
    let expected = [
        ("items", 10, false),
        ("stream", 10, false),
        ("read", 100, true),
        ("write", 100, true),
        ("async_read", 100, true),
        ("async_write", 100, true),
    ];
    assert_eq!(
        counts,
        expected.map(|(path, count, bytes)| (path.to_owned(), Some(count), bytes))
    );
    // A watcher has seen each of them begin.
    let changes = events(&tracker, "t").await;
    let changes = changes
        .iter()
        .filter(|event| event.event_type() == "stage_change");
    assert_eq!(changes.count(), expected.len());
    Ok(())
}
