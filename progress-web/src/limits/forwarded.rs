//! `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right: what is nearest to this
//! server was written by whom it trusts, what is further left by anybody.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The header in which trusted hops say whom they speak for. Others are not read: a proxy that
/// writes one header passes on what a client says in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: 192.0.2.60, 198.51.100.7`.
    XForwardedFor,
    /// `Forwarded: for=192.0.2.60;proto=https, for="[2001:db8::7]:4711"`.
    Forwarded,
}

/// What a hop says of whom it speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    Address(IpAddr),
    /// It will not tell, or does not know.
    Hidden,
    Malformed,
}

impl ForwardedHeader {
    /// What the hops say, the last one first. Several lines are one list.
    pub(super) fn hops(self, headers: &HeaderMap) -> impl Iterator<Item = Hop> {
        let mut left = LONGEST;
        let lines = headers.get_all(self.name()).iter().rev();
        let elements = lines.flat_map(move |line| self.elements(line, &mut left));
        let hops = elements.map(move |element| match (element, self) {
            (None, _) => Some(Hop::Malformed),
            (Some(b""), _) => None,
            (Some(element), Self::XForwardedFor) => Some(plain(element)),
            (Some(element), Self::Forwarded) => Some(described(element)),
        });
        // Empty elements of a list say nothing (RFC 9110), but reading them costs as others do.
        hops.take(MOST_HOPS).flatten()
    }

    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => header::FORWARDED,
        }
    }

    /// The elements of a line, the last one first; `None` is what is not read any more.
    fn elements<'a>(
        self,
        line: &'a HeaderValue,
        left: &mut usize,
    ) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let bytes = line.as_bytes();
        let cut = bytes.len().saturating_sub(*left);
        *left = left.saturating_sub(bytes.len());
        let read = match self {
            _ if cut == 0 => bytes,
            // The first element there is may be cut itself.
            Self::XForwardedFor => behind_comma(&bytes[cut..]),
            // Where a quoted text begins cannot be told from the right.
            Self::Forwarded => b"",
        };
        let elements = self.split(read).into_iter().rev().map(Some);
        elements.chain((cut > 0).then_some(None))
    }

    /// Splits at commas, but for those in quotes where there are quotes. One without an end has all
    /// that follows in it: that element is malformed, and the last.
    fn split(self, text: &[u8]) -> Vec<&[u8]> {
        let has_quotes = self == Self::Forwarded;
        let (mut quoted, mut escaped) = (false, false);
        let is_end = |byte: &u8| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if has_quotes => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        };
        text.split(is_end).map(<[u8]>::trim_ascii).collect()
    }
}

fn behind_comma(text: &[u8]) -> &[u8] {
    let comma = text.iter().position(|byte| *byte == b',');
    comma.map_or(b"", |comma| &text[comma + 1..])
}

/// An element of `X-Forwarded-For`, which no standard describes: an address, with a port or not.
fn plain(element: &[u8]) -> Hop {
    let Ok(text) = str::from_utf8(element) else {
        return Hop::Malformed;
    };
    if text.eq_ignore_ascii_case("unknown") {
        return Hop::Hidden;
    }
    let bare = text.parse().ok();
    let address = bare
        .or_else(|| {
            text.parse()
                .ok()
                .map(|with_port: SocketAddr| with_port.ip())
        })
        .or_else(|| bracketed(text));
    address.map_or(Hop::Malformed, hop)
}

/// An element of `Forwarded`: pairs, of which `for` counts.
fn described(element: &[u8]) -> Hop {
    let mut rest = element;
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut told = Hop::Hidden;
    loop {
        rest = rest.trim_ascii_start();
        let Some(&next) = rest.first() else {
            return told;
        };
        if next == b';' {
            rest = &rest[1..];
            continue;
        }
        let Some((name, value, more)) = pair(rest) else {
            return Hop::Malformed;
        };
        let is_name = |other: &&[u8]| other.eq_ignore_ascii_case(name);
        if seen.iter().any(is_name) || seen.len() == MOST_PAIRS {
            return Hop::Malformed;
        }
        seen.push(name);
        if name.eq_ignore_ascii_case(b"for") {
            told = node(&value);
        }
        rest = more.trim_ascii_start();
        if !rest.is_empty() && rest[0] != b';' {
            return Hop::Malformed;
        }
    }
}

/// `token=value`, the value a token or quoted; and what follows.
fn pair(text: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let (name, rest) = token(text)?;
    let rest = rest.strip_prefix(b"=")?;
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let (value, rest) = token(rest)?;
        return Some((name, value.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((name, value, &quoted[index + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}

/// The characters of a token (RFC 9110), at least one.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_token(byte)).count();
    (length > 0).then(|| text.split_at(length))
}

/// What `for` names: an address, one of IPv6 in brackets, with a port or not; `unknown`; or a name
/// that means something to the hop alone, `_…`.
fn node(value: &[u8]) -> Hop {
    let Ok(text) = str::from_utf8(value) else {
        return Hop::Malformed;
    };
    let name = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => {
            if !is_port(port) {
                return Hop::Malformed;
            }
            name
        }
        _ => text,
    };
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Hop::Hidden;
    }
    let address = match name.parse().ok() {
        Some(address @ IpAddr::V4(_)) => Some(address),
        // Without brackets.
        Some(IpAddr::V6(_)) => None,
        None => bracketed(name),
    };
    address.map_or(Hop::Malformed, hop)
}

fn bracketed(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.parse::<Ipv6Addr>().ok()?.into())
}

fn is_port(text: &str) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits || is_obfuscated(text)
}

fn is_obfuscated(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(is_fit))
}

fn hop(address: IpAddr) -> Hop {
    Hop::Address(address.to_canonical())
}

/// Hops that are read.
pub(super) const MOST_HOPS: usize = 64;
/// Bytes of the header that are read, from the right.
const LONGEST: usize = 4 * 1024;
/// Pairs of one element: RFC 7239 knows four.
const MOST_PAIRS: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hops(header: ForwardedHeader, lines: &[&str]) -> Vec<Hop> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header.name(),
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        header.hops(&headers).collect()
    }

    fn address(text: &str) -> Hop {
        Hop::Address(text.parse().unwrap())
    }

    fn one(header: ForwardedHeader, element: &str) -> Hop {
        let hops = hops(header, &[element]);
        assert_eq!(hops.len(), 1, "{element}");
        hops[0]
    }

    #[test]
    fn lines_are_one_list_and_the_last_hop_comes_first() {
        let lines = ["192.0.2.1, 192.0.2.2", "192.0.2.3 ,, 192.0.2.4,"];
        let plain = hops(ForwardedHeader::XForwardedFor, &lines);
        let last_first = [4, 3, 2, 1].map(|n| address(&format!("192.0.2.{n}")));
        assert_eq!(plain, last_first);
        let lines = [
            "for=192.0.2.1, For=192.0.2.2;proto=http",
            "for=192.0.2.3,for=192.0.2.4",
        ];
        assert_eq!(hops(ForwardedHeader::Forwarded, &lines), last_first);
    }

    #[test]
    fn addresses_come_with_ports_brackets_and_quotes() {
        use ForwardedHeader::{Forwarded, XForwardedFor};
        for (header, element, told) in [
            (XForwardedFor, "192.0.2.1:4711", "192.0.2.1"),
            (XForwardedFor, "2001:db8::1", "2001:db8::1"),
            (XForwardedFor, "[2001:db8::1]", "2001:db8::1"),
            (XForwardedFor, "[2001:db8::1]:4711", "2001:db8::1"),
            (XForwardedFor, "::ffff:192.0.2.1", "192.0.2.1"),
            (Forwarded, "for=192.0.2.1", "192.0.2.1"),
            (Forwarded, "FOR=\"192.0.2.1:4711\"", "192.0.2.1"),
            (
                Forwarded,
                "proto=https ; for=\"[2001:db8::1]\";by=_x",
                "2001:db8::1",
            ),
            (Forwarded, "for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            (Forwarded, "for=\"[2001:db8::1]:_port\"", "2001:db8::1"),
            (Forwarded, "for=\"[::ffff:192.0.2.1]\"", "192.0.2.1"),
            (Forwarded, "for=\"19\\2.0.2.1\"", "192.0.2.1"),
            (
                Forwarded,
                "host=\"a,b;for=\\\"\";for=192.0.2.1",
                "192.0.2.1",
            ),
        ] {
            assert_eq!(one(header, element), address(told), "{element}");
        }
    }

    #[test]
    fn a_hop_may_keep_to_itself_whom_it_speaks_for() {
        for element in [
            "for=unknown",
            "for=_hidden",
            "for=\"_gazonk:_x\"",
            "for=\"unknown:80\"",
            "proto=https",
        ] {
            assert_eq!(
                one(ForwardedHeader::Forwarded, element),
                Hop::Hidden,
                "{element}"
            );
        }
        assert_eq!(one(ForwardedHeader::XForwardedFor, "unknown"), Hop::Hidden);
    }

    #[test]
    fn what_is_none_of_that_is_malformed() {
        for element in [
            "for",
            "for=",
            "=1.2.3.4",
            "for =1.2.3.4",
            "for=1.2.3.4 x",
            "for=1.2.3.4=",
            "for=2001:db8::1",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[fe80::1%eth0]\"",
            "for=\"[1.2.3.4]\"",
            "for=1.2.3.4;for=5.6.7.8",
            "for=\"1.2.3.4:123456\"",
            "for=\"1.2.3.4:\"",
            "for=\"1.2.3.4",
            "for=\"1.2.3.4\\",
            "for=1.2.3",
            "for=01.2.3.4",
            "for=_",
            "for=\u{e9}",
            "a=b c=d",
        ] {
            let told = one(ForwardedHeader::Forwarded, element);
            assert_eq!(told, Hop::Malformed, "{element}");
        }
        for element in [
            "1.2.3",
            "host",
            "1.2.3.4:99999",
            "[::1",
            "fe80::1%eth0",
            "_x",
            "\u{e9}",
        ] {
            let told = one(ForwardedHeader::XForwardedFor, element);
            assert_eq!(told, Hop::Malformed, "{element}");
        }
    }

    #[test]
    fn a_quote_without_an_end_hides_what_follows_and_nothing_before() {
        let told = hops(
            ForwardedHeader::Forwarded,
            &["for=1.2.3.4, for=\"x, for=5.6.7.8"],
        );
        assert_eq!(told, [Hop::Malformed, address("1.2.3.4")]);
        // The proxy's own quotes do not close it.
        let told = hops(
            ForwardedHeader::Forwarded,
            &["for=9.9.9.9;x=\", for=\"[2001:db8::1]\""],
        );
        assert_eq!(told, [Hop::Malformed]);
    }

    #[test]
    fn no_more_is_read_than_the_bounds_allow() {
        let many = vec!["192.0.2.1"; 100].join(",");
        let told = hops(ForwardedHeader::XForwardedFor, &[&many]);
        assert_eq!(told.len(), MOST_HOPS);
        let long = format!("{},192.0.2.1", "x".repeat(LONGEST));
        let told = hops(ForwardedHeader::XForwardedFor, &["192.0.2.9", &long]);
        assert_eq!(told, [address("192.0.2.1"), Hop::Malformed, Hop::Malformed]);
        let long = format!("for={},for=192.0.2.1", "x".repeat(LONGEST));
        let told = hops(ForwardedHeader::Forwarded, &[&long, "for=192.0.2.2"]);
        assert_eq!(told, [address("192.0.2.2"), Hop::Malformed]);
    }

    proptest! {
        /// Whatever a client sends, its proxy's word stands behind it.
        #[test]
        fn what_a_client_writes_cannot_replace_what_its_proxy_adds(
            written in proptest::collection::vec(
                prop_oneof![Just(b'"'), Just(b','), Just(b';'), Just(b'='), Just(b'\\'), 32..127u8, 128..255u8],
                0..200,
            ),
        ) {
            let real = address("203.0.113.7");
            let line = |added: &str| {
                let mut line = written.clone();
                line.extend_from_slice(added.as_bytes());
                HeaderValue::from_bytes(&line).unwrap()
            };
            for (header, added) in [
                (ForwardedHeader::XForwardedFor, ", 203.0.113.7"),
                (ForwardedHeader::Forwarded, ", for=203.0.113.7"),
                (ForwardedHeader::Forwarded, ", for=\"203.0.113.7:80\""),
            ] {
                let mut headers = HeaderMap::new();
                headers.append(header.name(), line(added));
                let told = header.hops(&headers).next();
                let is_right = told == Some(real)
                    || header == ForwardedHeader::Forwarded && told == Some(Hop::Malformed);
                prop_assert!(is_right, "{told:?}");
            }
        }

        #[test]
        fn an_address_is_read_back_as_it_was_written(address: IpAddr, port: u16) {
            let told = Hop::Address(address.to_canonical());
            let socket = SocketAddr::new(address, port);
            let quoted = match address {
                IpAddr::V4(address) => format!("for=\"{address}\""),
                IpAddr::V6(address) => format!("for=\"[{address}]\""),
            };
            for text in [address.to_string(), socket.to_string()] {
                prop_assert_eq!(one(ForwardedHeader::XForwardedFor, &text), told);
            }
            for text in [quoted, format!("for=\"{socket}\"")] {
                prop_assert_eq!(one(ForwardedHeader::Forwarded, &text), told);
            }
        }
    }
}
