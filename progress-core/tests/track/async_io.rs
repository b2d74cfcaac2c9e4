//! Readers and writers of tokio.

use std::{
    io::{self, IoSlice, SeekFrom},
    pin::Pin,
    task::{Context, Poll},
};

use progress_core::{Track, Tracked};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf,
};

use crate::{common::a_tick, counted, stage, started};

/// Gives at most three bytes at a time, and is not ready in between.
#[derive(Debug)]
struct Choppy {
    bytes: io::Cursor<Vec<u8>>,
    calls: usize,
}

impl Choppy {
    fn of(len: u8) -> Self {
        Self {
            bytes: io::Cursor::new((0..len).collect()),
            calls: 0,
        }
    }
}

impl AsyncRead for Choppy {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.calls += 1;
        if this.calls % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut some = [0; 3];
        let len = buf.remaining().min(3);
        let len = io::Read::read(&mut this.bytes, &mut some[..len])?;
        buf.put_slice(&some[..len]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_reader_counts_bytes_as_they_come() {
    let (_tracker, task) = started();
    let reporter = task.stage("s").total(8);
    let mut reader = Choppy::of(8).track(&reporter);
    let mut buf = vec![9; 4];
    // Into a buffer that holds something already.
    let mut some = ReadBuf::new(&mut buf);
    some.put_slice(b"x");
    std::future::poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut some))
        .await
        .unwrap();
    assert_eq!(some.filled(), [b'x', 0, 1, 2]);
    assert_eq!(counted(&task).await, (Some(3), Some(8)));
    let mut rest = Vec::new();
    AsyncReadExt::read_to_end(&mut reader, &mut rest)
        .await
        .unwrap();
    assert_eq!(rest, [3, 4, 5, 6, 7]);
    assert_eq!(counted(&task).await, (Some(8), Some(8)));
    assert_eq!(stage(&task).await.unit.as_deref(), Some("bytes"));

    let (_tracker, task) = started();
    let mut lines = AsyncBufReadExt::lines(b"one\ntwo\n".as_slice().track(&task.stage("s")));
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
    assert_eq!(counted(&task).await.0, Some(4));
}

#[tokio::test(start_paused = true)]
async fn an_async_writer_counts_what_was_accepted() {
    let (_tracker, task) = started();
    let (near, mut far) = tokio::io::duplex(4);
    let mut near = near.track(&task.stage("s"));
    let writing = tokio::spawn(async move {
        near.write_all(b"abcdefgh").await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    a_tick().await;
    assert_eq!(counted(&task).await.0, Some(4), "the pipe is full");
    let mut read = Vec::new();
    far.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"abcdefgh");
    let mut near = writing.await.unwrap();
    assert_eq!(counted(&task).await.0, Some(8));
    drop(far);
    near.write_all(b"nobody").await.unwrap_err();
    assert_eq!(counted(&task).await.0, Some(8));
}

#[tokio::test(start_paused = true)]
async fn an_async_writer_passes_vectored_writes_on() {
    let (_tracker, task) = started();
    let mut writer: Tracked<Vec<u8>> = Vec::new().track(&task.stage("s"));
    assert!(AsyncWrite::is_write_vectored(&writer));
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
    let written =
        std::future::poll_fn(|cx| Pin::new(&mut writer).poll_write_vectored(cx, &parts)).await;
    assert_eq!(written.unwrap(), 5);
    assert_eq!(counted(&task).await.0, Some(5));
}

#[tokio::test(start_paused = true)]
async fn an_async_seek_sets_the_position() {
    let (_tracker, task) = started();
    let mut file = io::Cursor::new(vec![0; 10]).track(&task.stage("s"));
    AsyncReadExt::read_exact(&mut file, &mut [0; 2])
        .await
        .unwrap();
    assert_eq!(
        AsyncSeekExt::seek(&mut file, SeekFrom::Start(7))
            .await
            .unwrap(),
        7
    );
    assert_eq!(counted(&task).await.0, Some(7));
    AsyncReadExt::read_exact(&mut file, &mut [0; 3])
        .await
        .unwrap();
    assert_eq!(counted(&task).await.0, Some(10));
}
