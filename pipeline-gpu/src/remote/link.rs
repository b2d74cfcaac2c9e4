//! Where a result lies.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// A link to a result. Whoever has it can fetch the result: `Debug` shows no query, for the renderer's
/// signature is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResultLink(String);

impl ResultLink {
    /// A link as text.
    #[must_use]
    pub fn new(link: impl Into<String>) -> Self {
        Self(link.into())
    }

    /// The whole link, with its signature.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the renderer says, for people: cut, and its links without what they may be signed by.
pub(super) fn said(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    let told: String = words.flat_map(bare).collect();
    told.chars().take(MAX_MESSAGE).collect()
}

/// A word in parts, less a URL's query and fragment, and the name and password in it.
fn bare(word: &str) -> [&str; 3] {
    let Some(at) = word.find("://") else {
        return [word, "", ""];
    };
    let (scheme, rest) = word.split_at(at + 3);
    let space = &word[word.trim_end().len()..];
    let rest = rest.split(['?', '#']).next().unwrap_or_default().trim_end();
    let host = rest.find('/').unwrap_or(rest.len());
    let rest = &rest[rest[..host].rfind('@').map_or(0, |at| at + 1)..];
    [scheme, rest, space]
}

/// The most characters of what is repeated of an answer.
const MAX_MESSAGE: usize = 500;

impl fmt::Debug for ResultLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResultLink").field(&shown(&self.0)).finish()
    }
}

/// A URL's host and path. Of one that has no host it is not known what is no secret.
pub(super) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) if url.has_host() => {
            url.set_query(None);
            url.set_fragment(None);
            // Of a file's URL neither can be set, nor is there one.
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url.to_string()
        }
        _ => "no URL".to_owned(),
    }
}
