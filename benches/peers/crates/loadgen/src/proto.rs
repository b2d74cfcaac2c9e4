//! Minimal client-side parsers: just enough WebSocket and SSE to count progress events cheaply.

/// Calls `hit(ts_ns)` for every `"ts_ns":NUMBER` found in `text`.
pub fn scan_ts(text: &[u8], mut hit: impl FnMut(u64)) {
    const KEY: &[u8] = b"\"ts_ns\":";
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, KEY) {
        rest = &rest[at + KEY.len()..];
        let digits = rest
            .iter()
            .skip_while(|b| **b == b' ')
            .take_while(|b| b.is_ascii_digit());
        let ts = digits.fold(0u64, |n, d| {
            n.wrapping_mul(10).wrapping_add(u64::from(d - b'0'))
        });
        hit(ts);
    }
}

/// How many events before its own number each frame of this project's protocol stands for: what was
/// superseded and says so is declared, not lost. Such a frame begins with its place in the log,
/// `{"task_id":"…","epoch":"…","seq":57,"from":50,…`; those of others have none and declare nothing.
pub fn scan_declared(text: &[u8], mut hit: impl FnMut(u64)) {
    const KEY: &[u8] = b"\",\"seq\":";
    const FROM: &[u8] = b",\"from\":";
    const EPOCH: &[u8] = b"\"epoch\":\"";
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, EPOCH) {
        rest = &rest[at + EPOCH.len()..];
        // An epoch is at most 32 characters; anything else is not the head of a frame.
        let Some(end) = memchr::memmem::find(&rest[..rest.len().min(33 + KEY.len())], KEY) else {
            continue;
        };
        let (seq, tail) = number(&rest[end + KEY.len()..]);
        if let Some(tail) = tail.strip_prefix(FROM) {
            hit(seq.saturating_sub(number(tail).0));
        }
        rest = tail;
    }
}

fn number(text: &[u8]) -> (u64, &[u8]) {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    (
        text[..end]
            .iter()
            .fold(0, |n, d| n * 10 + u64::from(d - b'0')),
        &text[end..],
    )
}

/// What the server sent that needs more than counting.
pub enum Msg<'a> {
    /// Text or binary payload (WebSocket frame body, or whole SSE lines).
    Data(&'a [u8]),
    Ping(&'a [u8]),
    Close,
}

/// Cuts a server's byte stream into messages; keeps a partial frame between reads.
pub enum Parser {
    Ws {
        carry: Vec<u8>,
    },
    Sse {
        carry: Vec<u8>,
        chunked: bool,
        left: usize,
        body: Vec<u8>,
    },
}

impl Parser {
    pub fn ws() -> Self {
        Parser::Ws { carry: Vec::new() }
    }

    pub fn sse(chunked: bool) -> Self {
        Parser::Sse {
            carry: Vec::new(),
            chunked,
            left: 0,
            body: Vec::new(),
        }
    }

    pub fn feed(&mut self, data: &[u8], mut f: impl FnMut(Msg)) {
        match self {
            Parser::Ws { carry } => with_carry(carry, data, |buf| ws_frames(buf, &mut f)),
            Parser::Sse {
                carry,
                chunked: false,
                ..
            } => with_carry(carry, data, |buf| sse_lines(buf, &mut f)),
            Parser::Sse {
                carry, left, body, ..
            } => with_carry(carry, data, |buf| {
                let used = dechunk(buf, left, body);
                let lines = sse_lines(body, &mut f);
                body.drain(..lines);
                used
            }),
        }
    }
}

/// Runs `parse` over carry+data; `parse` returns how many bytes it used, the rest is kept.
fn with_carry(carry: &mut Vec<u8>, data: &[u8], mut parse: impl FnMut(&[u8]) -> usize) {
    if carry.is_empty() {
        let used = parse(data);
        carry.extend_from_slice(&data[used..]);
    } else {
        carry.extend_from_slice(data);
        let used = parse(carry);
        carry.drain(..used);
    }
}

fn ws_frames(buf: &[u8], f: &mut impl FnMut(Msg)) -> usize {
    let mut at = 0;
    loop {
        let b = &buf[at..];
        if b.len() < 2 {
            return at;
        }
        let (head, len) = match b[1] & 0x7f {
            126 if b.len() >= 4 => (4, u16::from_be_bytes([b[2], b[3]]) as usize),
            127 if b.len() >= 10 => (
                10,
                u64::from_be_bytes(b[2..10].try_into().unwrap()) as usize,
            ),
            126 | 127 => return at,
            n => (2, n as usize),
        };
        if b.len() < head + len {
            return at;
        }
        let body = &b[head..head + len];
        match b[0] & 0x0f {
            0..=2 => f(Msg::Data(body)),
            8 => f(Msg::Close),
            9 => f(Msg::Ping(body)),
            _ => {}
        }
        at += head + len;
    }
}

fn sse_lines(buf: &[u8], f: &mut impl FnMut(Msg)) -> usize {
    let end = memchr::memrchr(b'\n', buf).map_or(0, |i| i + 1);
    if end > 0 {
        f(Msg::Data(&buf[..end]));
    }
    end
}

/// Appends the bodies of HTTP chunks to `body`; `left` = bytes (with CRLF) still due of the open chunk.
fn dechunk(buf: &[u8], left: &mut usize, body: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while at < buf.len() {
        if *left == 0 {
            let Some(eol) = memchr::memchr(b'\n', &buf[at..]) else {
                return at;
            };
            let size = std::str::from_utf8(&buf[at..at + eol]).unwrap_or("0");
            let size = size.trim().split(';').next().unwrap_or("0");
            *left = usize::from_str_radix(size, 16).unwrap_or(0) + 2;
            at += eol + 1;
        } else {
            let take = (*left).min(buf.len() - at);
            let text = take.min(left.saturating_sub(2)); // the last two bytes are CRLF
            body.extend_from_slice(&buf[at..at + text]);
            *left -= take;
            at += take;
        }
    }
    at
}

/// One masked client frame (mask 0, so the body is sent as it is).
pub fn client_frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match body.len() {
        n if n < 126 => out.push(0x80 | n as u8),
        n => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(p: &mut Parser, bytes: &[u8], step: usize) -> Vec<u64> {
        let mut out = vec![];
        for part in bytes.chunks(step) {
            p.feed(part, |m| {
                if let Msg::Data(d) = m {
                    scan_ts(d, |t| out.push(t))
                }
            });
        }
        out
    }

    #[test]
    fn a_range_is_declared() {
        let declared = |text: &str| {
            let mut all = vec![];
            scan_declared(text.as_bytes(), |n| all.push(n));
            all
        };
        let head = r#"{"task_id":"t","epoch":"18f2c1a7b3d","seq":57"#;
        assert_eq!(
            declared(&format!(r#"{head},"from":50,"data":{{"seq":3}}}}"#)),
            [7]
        );
        assert_eq!(
            declared(&format!(r#"{head},"event_type":"x"}}"#)),
            [] as [u64; 0]
        );
        assert_eq!(
            declared(r#"{"task_id":"t","seq":57,"from":50}"#),
            [] as [u64; 0]
        );
    }

    #[test]
    fn ws_any_split() {
        let mut bytes = vec![];
        for i in 0..5 {
            let body = format!("{{\"ts_ns\": {i}, \"pad\":\"{}\"}}", "x".repeat(200 * i));
            let mut h = vec![0x81];
            if body.len() < 126 {
                h.push(body.len() as u8)
            } else {
                h.push(126);
                h.extend((body.len() as u16).to_be_bytes())
            }
            bytes.extend(h);
            bytes.extend(body.bytes());
        }
        for step in 1..bytes.len() {
            assert_eq!(
                collect(&mut Parser::ws(), &bytes, step),
                [0, 1, 2, 3, 4],
                "step {step}"
            );
        }
    }

    #[test]
    fn sse_any_split() {
        let mut bytes = vec![];
        for i in 0..5 {
            let body = format!("id: {i}\ndata: {{\"ts_ns\":{i}}}\n\n");
            bytes.extend(format!("{:x}\r\n{body}\r\n", body.len()).bytes());
        }
        for step in 1..bytes.len() {
            assert_eq!(
                collect(&mut Parser::sse(true), &bytes, step),
                [0, 1, 2, 3, 4],
                "step {step}"
            );
        }
    }
}
