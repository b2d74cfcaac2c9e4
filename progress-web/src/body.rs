//! Bodies: of answers, and of requests up to a limit.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream as _;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use tokio::time::{Instant, timeout_at};

use crate::{
    error::{ApiError, Code},
    limits::Taken,
    refused::invalid,
    socket::WebSocket,
    sse::EventStream,
};

/// The body of an answer: some bytes, or an event stream. It never fails.
///
/// The body of an answer with status 101 is the WebSocket that it opens, for the adapter to
/// [take](Self::take_web_socket); as bytes it is empty.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Full(Bytes),
    Events(Box<EventStream>),
    Socket(Option<WebSocket>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self(Kind::Full(Bytes::new()))
    }

    pub(crate) fn web_socket(socket: WebSocket) -> Self {
        Self(Kind::Socket(Some(socket)))
    }

    /// Takes out the WebSocket that the answer opens, once.
    pub fn take_web_socket(&mut self) -> Option<WebSocket> {
        match &mut self.0 {
            Kind::Socket(socket) => socket.take(),
            Kind::Full(_) | Kind::Events(_) => None,
        }
    }

    /// Returns the bytes, for frameworks that have an easier way with them.
    ///
    /// # Errors
    ///
    /// The body itself, if it is an event stream.
    pub fn into_bytes(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Full(bytes) => Ok(bytes),
            Kind::Socket(_) => Ok(Bytes::new()),
            events @ Kind::Events(_) => Err(Self(events)),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Full(bytes))
    }
}

impl From<EventStream> for Body {
    fn from(events: EventStream) -> Self {
        Self(Kind::Events(Box::new(events)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Events(events) => Pin::new(&mut **events)
                .poll_next(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Socket(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Events(_) => false,
            Kind::Socket(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Events(_) => SizeHint::default(),
            Kind::Socket(_) => SizeHint::with_exact(0),
        }
    }
}

/// The body of a request, not yet read: who may not ask has sent it in vain.
pub struct RequestBody(UnsyncBoxBody<Bytes, String>);

impl RequestBody {
    /// Takes a body as a server has it.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Error: fmt::Display,
    {
        let body = body
            .map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            .map_err(|error| error.to_string());
        Self(body.boxed_unsync())
    }

    /// Reads it: to `largest` bytes for which there is room, each 64 KiB of them within `patience`, so
    /// that one that trickles or comes to a stop does not hold its place for ever.
    pub(crate) async fn read(
        self,
        headers: &HeaderMap,
        largest: usize,
        patience: Duration,
        taken: &mut Taken<'_>,
    ) -> Result<Bytes, ApiError> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        read(self.0, length, largest, patience, taken).await
    }
}

impl<B: Into<Bytes>> From<B> for RequestBody {
    fn from(bytes: B) -> Self {
        Self::new(Full::new(bytes.into()))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// See [`RequestBody::read`]; of a length that may have been said beforehand.
async fn read(
    mut body: impl http_body::Body<Data = Bytes, Error = impl fmt::Display> + Unpin,
    length: Option<u64>,
    largest: usize,
    patience: Duration,
    taken: &mut Taken<'_>,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            Code::PayloadTooLarge,
            format!("the request's body is too large, the limit is {largest} bytes"),
        )
        .field("body")
        .detail("limit", largest)
    };
    // Said beforehand, it is not even read.
    if length.is_some_and(|length| length > largest as u64) {
        return Err(too_large());
    }
    // For the first of so many bytes, then for the next.
    let (mut due, mut next) = (Instant::now() + patience, SLOWEST);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let len = first.len() + more.len();
        if len >= next {
            (due, next) = (Instant::now() + patience, len + SLOWEST);
        }
        let frame = match timeout_at(due, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(invalid("body", format!("the body broke off: {error}")));
            }
            Ok(None) => break,
            Err(_) => {
                let message = format!("{SLOWEST} bytes of the body took longer than {patience:?}");
                return Err(ApiError::new(Code::TooSlow, message).field("body"));
            }
        };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > largest - len {
            return Err(too_large());
        }
        taken.grow(data.len())?;
        // One chunk is the whole, as a rule, and need not be copied.
        if len == 0 {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() {
        first
    } else {
        more.freeze()
    })
}

/// Bytes that a body has to bring within the patience.
const SLOWEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::{Sleep, sleep};

    use super::*;
    use crate::limits::Room;

    const PATIENCE: Duration = Duration::from_secs(30);
    static ROOM: Room = Room::new(usize::MAX);

    /// Chunks, each after a while.
    struct Slow {
        chunks: VecDeque<(u64, Bytes)>,
        wait: Option<Pin<Box<Sleep>>>,
    }

    impl Slow {
        fn of(chunks: &[(u64, usize)]) -> Self {
            let chunk = |&(after, len): &(u64, usize)| (after, Bytes::from(vec![b'x'; len]));
            Self {
                chunks: chunks.iter().map(chunk).collect(),
                wait: None,
            }
        }
    }

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(&(after, _)) = self.chunks.front() else {
                return Poll::Ready(None);
            };
            let wait = self
                .wait
                .get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(after))));
            if wait.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
            let chunk = self.chunks.pop_front().map(|(_, chunk)| chunk);
            Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn body_is_read_to_its_limit_and_no_further() {
        for chunks in [&[][..], &[(0, 10)], &[(0, 4), (1, 5), (0, 1)]] {
            let len = chunks.iter().map(|(_, len)| len).sum();
            let body = read(Slow::of(chunks), None, 10, PATIENCE, &mut ROOM.begin())
                .await
                .unwrap();
            assert_eq!(body, vec![b'x'; len]);
        }
        for chunks in [&[(0, 11)][..], &[(0, 10), (0, 1)]] {
            let error = read(Slow::of(chunks), None, 10, PATIENCE, &mut ROOM.begin())
                .await
                .unwrap_err();
            assert_eq!(error.code(), Code::PayloadTooLarge);
            assert_eq!(error.code().status(), 413);
        }
        let late = Slow::of(&[(1_000, 11)]);
        let began = Instant::now();
        let error = read(late, Some(11), 10, PATIENCE, &mut ROOM.begin())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::PayloadTooLarge);
        assert_eq!(began.elapsed(), Duration::ZERO, "it is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_trickles_is_given_up_and_a_slow_large_one_is_not() {
        let began = Instant::now();
        let trickle = [(10, 1); 100];
        let error = read(
            Slow::of(&trickle),
            Some(100),
            1_000,
            PATIENCE,
            &mut ROOM.begin(),
        )
        .await
        .unwrap_err();
        assert_eq!(error.code(), Code::TooSlow);
        assert_eq!(error.code().status(), 408);
        assert_eq!(began.elapsed(), PATIENCE);
        // However fast it began.
        let stalls = Slow::of(&[(0, 100 * SLOWEST), (31, 1)]);
        let began = Instant::now();
        let error = read(stalls, None, usize::MAX, PATIENCE, &mut ROOM.begin())
            .await
            .unwrap_err();
        assert_eq!((error.code(), began.elapsed()), (Code::TooSlow, PATIENCE));
        let slow = [(20, SLOWEST); 20];
        let body = read(
            Slow::of(&slow),
            None,
            usize::MAX,
            PATIENCE,
            &mut ROOM.begin(),
        )
        .await
        .unwrap();
        assert_eq!(body.len(), 20 * SLOWEST);
    }
}
