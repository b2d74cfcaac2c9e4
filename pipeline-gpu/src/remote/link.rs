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

impl fmt::Debug for ResultLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match Url::parse(&self.0) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                // Of a link that has no host neither can be set, nor is there one.
                let _ = url.set_password(None);
                let _ = url.set_username("");
                url.to_string()
            }
            Err(_) => "no URL".to_owned(),
        };
        f.debug_tuple("ResultLink").field(&told).finish()
    }
}
