//! The connections that are open, upgraded or not.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    mem,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

use super::head::Head;
use crate::limits::{AddressKey, Shares};

/// The connections that are open, so that they can be counted, bounded, waited for and cut off, also
/// where an upgrade has given one to a task that nobody here knows.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    per_address: usize,
    open: Mutex<Open>,
    /// Told when the last has gone.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    streams: HashMap<u64, Arc<TcpStream>>,
    shares: Shares,
    last: u64,
}

/// What has no room for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

/// A connection, which leaves the others on drop.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    number: u64,
    key: Option<AddressKey>,
    all: Arc<Connections>,
    head: Arc<Head>,
}

impl Connections {
    pub(super) fn new(limit: usize, per_address: usize) -> Self {
        Self {
            limit,
            per_address,
            open: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    /// Takes a connection in, if there is room for it; else it is closed. The key is whom it is
    /// counted to, if to anybody.
    pub(super) fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        key: Option<AddressKey>,
        head: Arc<Head>,
    ) -> Result<Connection, Full> {
        let stream = Arc::new(stream);
        let mut open = self.open();
        if open.streams.len() >= self.limit {
            return Err(Full::All);
        }
        if let Some(key) = key
            && !open.shares.take_address(key, self.per_address)
        {
            return Err(Full::Address);
        }
        open.last += 1;
        let number = open.last;
        open.streams.insert(number, Arc::clone(&stream));
        drop(open);
        Ok(Connection {
            stream,
            number,
            key,
            all: Arc::clone(self),
            head,
        })
    }

    /// Waits until there is none.
    pub(super) async fn emptied(&self) {
        loop {
            // Before the look, so that no end between the two is missed.
            let emptied = self.emptied.notified();
            if self.open().streams.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Cuts off all there are, and tells how many: whoever carries one finds it at its end. They
    /// count no longer.
    pub(super) fn cut(&self) -> usize {
        let mut open = self.open();
        let streams = mem::take(&mut open.streams);
        open.shares = Shares::default();
        drop(open);
        for stream in streams.values() {
            // One that the peer has closed already is none to shut down.
            let _gone = SockRef::from(&**stream).shutdown(Shutdown::Both);
        }
        streams.len()
    }

    /// What the lock guards is whole after every step: a panic elsewhere leaves nothing half done.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.all.open();
        let stream = open.streams.remove(&self.number);
        // One that was cut off counts no longer.
        if let (Some(_), Some(key)) = (&stream, self.key) {
            open.shares.release_address(key);
        }
        let is_last = open.streams.is_empty();
        // Closing is not for others to wait for.
        drop(open);
        drop(stream);
        if is_last {
            self.all.emptied.notify_waiters();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(buffer) {
                Ok(read) => {
                    if read > 0 {
                        self.head.on_bytes();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Connection {
    fn poll_try_write(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&*self.stream).shutdown(Shutdown::Write) {
            // It was cut off, or the peer has gone: there is nothing left to shut down.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
