//! How deep values are nested: readers of JSON give up somewhere, most at 128 levels, and a value
//! stands some levels deep in a frame already.

use serde_json::Value;

use crate::{error::PublishError, limits::Limits};

/// Checks a value that is text.
pub(crate) fn check_text_depth(field: &'static str, json: &str) -> Result<(), PublishError> {
    check(field, text_is_deeper(json, Limits::DEPTH))
}

/// Checks a value.
pub(crate) fn check_depth(field: &'static str, value: &Value) -> Result<(), PublishError> {
    check(field, is_deeper(value, Limits::DEPTH))
}

fn check(field: &'static str, is_deeper: bool) -> Result<(), PublishError> {
    match is_deeper {
        true => Err(PublishError::TooDeep {
            field,
            limit: Limits::DEPTH,
        }),
        false => Ok(()),
    }
}

/// Never goes further down than the limit, and so exhausts no stack.
fn is_deeper(value: &Value, limit: usize) -> bool {
    let inside = |value| match limit.checked_sub(1) {
        Some(limit) => is_deeper(value, limit),
        None => true,
    };
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(inside),
        Value::Object(map) => limit == 0 || map.values().any(inside),
        _ => false,
    }
}

fn text_is_deeper(json: &str, limit: usize) -> bool {
    // Most have fewer levels in all, be they in one another or not, and counting is quick.
    let begins = |byte: &u8| matches!(byte, b'[' | b'{');
    if json.as_bytes().iter().filter(|byte| begins(byte)).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string) = (0_usize, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // What is escaped ends no string.
            b'\\' => drop(bytes.next()),
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(0), |inner, level| match level % 2 {
            0 => json!([inner]),
            _ => json!({"a": 1, "z": inner}),
        })
    }

    #[test]
    fn levels_are_counted_exactly() {
        for levels in 0..10 {
            let value = nested(levels);
            for limit in 0..10 {
                assert_eq!(is_deeper(&value, limit), levels > limit);
                assert_eq!(text_is_deeper(&value.to_string(), limit), levels > limit);
            }
        }
    }

    #[test]
    fn what_stands_in_a_string_is_no_level() {
        for text in [r#""[[[\"[[[""#, r#"["\\","[[["]"#, r#"{"[[[":"{{{"}"#] {
            assert!(!text_is_deeper(text, 1), "{text}");
        }
        assert!(text_is_deeper(r#"["\\",[1]]"#, 1));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            r#"[\[\]{}"\\,a]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 4, |inner| {
            let names = r#"[\[\]{}"\\a-c]{1,3}"#;
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_and_its_text_are_equally_deep(value in any_value(), limit in 0_usize..8) {
            prop_assert_eq!(text_is_deeper(&value.to_string(), limit), is_deeper(&value, limit));
        }
    }
}
