//! Which tasks or channels a token is for.

use std::collections::HashSet;

use serde_json::Value;

use super::token::Fault;

/// Names that a token lists: whole ones, and beginnings (`render-*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    whole: HashSet<String>,
    beginnings: Vec<String>,
}

impl Names {
    /// Reads the claim; whatever is no list of names is a fault, for a list that is not understood
    /// must not count as none.
    pub(super) fn read(claim: &Value, is_name: fn(&str) -> bool) -> Result<Self, Fault> {
        const MALFORMED: Fault = Fault::Refused("a claim is no list of ids or patterns");
        let listed = claim.as_array().ok_or(MALFORMED)?;
        if listed.len() > MOST {
            return Err(Fault::Refused("a claim lists too many ids"));
        }
        let mut names = Self {
            whole: HashSet::with_capacity(listed.len()),
            beginnings: Vec::new(),
        };
        for name in listed {
            let name = name.as_str().ok_or(MALFORMED)?;
            let (beginning, is_pattern) = match name.strip_suffix('*') {
                Some(beginning) => (beginning, true),
                None => (name, false),
            };
            // The beginning of a name would do as a name; that of all names is empty.
            if !(is_name(beginning) || is_pattern && beginning.is_empty()) {
                return Err(MALFORMED);
            }
            if is_pattern {
                names.beginnings.push(beginning.to_owned());
            } else {
                names.whole.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Tells whether the name is among them, or begins as one of the patterns.
    pub(super) fn contain(&self, name: &str) -> bool {
        self.list(name)
            || self
                .beginnings
                .iter()
                .any(|beginning| name.starts_with(&**beginning))
    }

    /// Tells whether the name stands there as it is.
    pub(super) fn list(&self, name: &str) -> bool {
        self.whole.contains(name)
    }
}

/// The most names of one claim.
const MOST: usize = 1_000;
