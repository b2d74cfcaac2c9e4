//! What the renderer knows its customer by.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::HeaderValue;

use super::error::RemoteError;

/// The key of an API. It is never shown, also not by `Debug`.
///
/// ```
/// use pipeline_gpu::remote::ApiKey;
///
/// let key = ApiKey::basic("user", "secret")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// # Ok::<(), pipeline_gpu::remote::RemoteError>(())
/// ```
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

impl ApiKey {
    /// Of a name and a password, as two fields.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Config`] if the name is empty or has a colon in it.
    pub fn basic(user: &str, password: &str) -> Result<Self, RemoteError> {
        if user.is_empty() || user.contains(':') {
            return Err(RemoteError::Config {
                field: "user",
                expected: "a name without a colon",
            });
        }
        Self::encoded(&BASE64.encode(format!("{user}:{password}")))
    }

    /// As it stands behind `Basic` in the header, which is how D-ID hands keys out.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Config`] if it is empty or cannot stand in a header.
    pub fn encoded(key: &str) -> Result<Self, RemoteError> {
        let wrong = RemoteError::Config {
            field: "key",
            expected: "what can stand behind Basic in a header",
        };
        if key.trim().is_empty() {
            return Err(wrong);
        }
        let header = HeaderValue::try_from(format!("Basic {}", key.trim()));
        let mut header = header.map_err(|_| wrong)?;
        // Neither HTTP's compression nor anybody's Debug repeats it.
        header.set_sensitive(true);
        Ok(Self(header))
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
