//! W3C Trace Context: which trace a request is part of.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// The trace that a request is part of, as its header `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TraceId(u128);

impl TraceId {
    /// Reads the header; what is none of the specification's is as if it were not there, for a
    /// request is answered whatever its trace.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        // Of two it would be anybody's guess.
        match (values.next(), values.next()) {
            (Some(value), None) => Self::read(value.as_bytes()),
            _ => None,
        }
    }

    /// `version-trace_id-parent_id-flags` in lower-case hex. A later version may go on after a dash;
    /// version 255 is none.
    fn read(value: &[u8]) -> Option<Self> {
        let (parts, rest) = value.split_at_checked(LEN)?;
        let version = hex(&parts[..2])?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let dashes = [2, 35, 52].map(|at| parts[at]);
        if !is_whole || dashes != *b"---" {
            return None;
        }
        let trace = hex(&parts[3..35])?;
        let parent = hex(&parts[36..52])?;
        hex(&parts[53..])?;
        (trace != 0 && parent != 0).then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// To 32 digits, lower case as the specification demands.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Of version 0, whole; of later ones, what has to come first.
const LEN: usize = 55;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read(value: &str) -> Option<String> {
        TraceId::read(value.as_bytes()).map(|trace| trace.to_string())
    }

    #[test]
    fn header_of_the_specification_is_read() {
        let value = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(read(&value).as_deref(), Some(TRACE));
        let unsampled = format!("00-{TRACE}-00f067aa0ba902b7-00");
        assert_eq!(read(&unsampled).as_deref(), Some(TRACE));
        let small = "00-00000000000000000000000000000001-0000000000000001-00";
        assert_eq!(read(small).unwrap(), "00000000000000000000000000000001");
    }

    #[test]
    fn later_versions_may_go_on_after_a_dash_and_version_0_may_not() {
        for (version, rest, is_read) in [
            ("00", "", true),
            ("00", "-", false),
            ("00", "-what-the-future-brings", false),
            ("01", "", true),
            ("cc", "-what-the-future-brings", true),
            ("cc", ".what-the-future-brings", false),
            ("cc", "0", false),
            ("ff", "", false),
        ] {
            let value = format!("{version}-{TRACE}-00f067aa0ba902b7-01{rest}");
            assert_eq!(read(&value).is_some(), is_read, "{value}");
        }
    }

    #[test]
    fn what_is_no_trace_is_ignored() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let zeros = "00000000000000000000000000000000";
        for value in [
            String::new(),
            "-".to_owned(),
            good.to_uppercase(),
            format!(" {good}"),
            good.replace('-', "_"),
            good[..54].to_owned(),
            format!("{good}0"),
            good.replace(TRACE, zeros),
            good.replace("00f067aa0ba902b7", &zeros[..16]),
            good.replace("b7-01", "b7-0g"),
            good.replace("4bf9", "4bg9"),
            format!("{good},{good}"),
        ] {
            assert_eq!(read(&value), None, "{value}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(TraceId::of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::try_from(&good).unwrap());
        assert!(TraceId::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::try_from(&good).unwrap());
        assert_eq!(TraceId::of(&headers), None, "two are one too many");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            TraceId::read(&value);
        }

        #[test]
        fn what_is_read_is_what_the_header_says(
            value in "(00|01|fe|ff)-[0-9a-f]{30}[0-9a-g]{2}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,9})?",
        ) {
            if let Some(trace) = read(&value) {
                prop_assert_eq!(&trace, &value[3..35]);
                prop_assert!(!value.starts_with("ff") && !trace.trim_matches('0').is_empty());
                prop_assert!(value.len() == LEN || !value.starts_with("00"));
            }
        }
    }
}
