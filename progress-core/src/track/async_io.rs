//! Readers and writers of tokio, by the byte.

use std::{
    io::{IoSlice, Result, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use crate::track::Tracked;

impl<R: AsyncRead> AsyncRead for Tracked<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.project();
        this.meter.begin_bytes();
        let before = buf.filled().len();
        ready!(this.inner.poll_read(cx, buf))?;
        this.meter.add(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncBufRead> AsyncBufRead for Tracked<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        let this = self.project();
        this.meter.begin_bytes();
        this.inner.poll_fill_buf(cx)
    }

    fn consume(self: Pin<&mut Self>, len: usize) {
        let this = self.project();
        this.inner.consume(len);
        this.meter.add(len);
    }
}

impl<W: AsyncWrite> AsyncWrite for Tracked<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let this = self.project();
        this.meter.begin_bytes();
        let len = ready!(this.inner.poll_write(cx, buf))?;
        this.meter.add(len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.project();
        this.meter.begin_bytes();
        let len = ready!(this.inner.poll_write_vectored(cx, bufs))?;
        this.meter.add(len);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

impl<S: AsyncSeek> AsyncSeek for Tracked<S> {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> Result<()> {
        let this = self.project();
        this.meter.begin_bytes();
        this.inner.start_seek(to)?;
        this.meter.seeking = true;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        let this = self.project();
        let completed = ready!(this.inner.poll_complete(cx));
        // Without a seek under way it says what the value happens to know of its position.
        if std::mem::take(&mut this.meter.seeking)
            && let Ok(position) = &completed
        {
            this.meter.move_to(*position);
        }
        Poll::Ready(completed)
    }
}
