//! What the renderer tells by itself.

use std::{error::Error, fmt};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

use super::{error::RemoteError, talk::Talk};

/// Reads what a renderer posts to a webhook, once it is sure who has posted it.
///
/// The body is signed by HMAC-SHA256 with a secret that both sides know; the signature stands in a
/// header as hexadecimal digits, with `sha256=` before it or without. This is what most senders of
/// webhooks do; one that does not sign needs a proxy that does, or a URL that nobody can guess.
///
/// A message may come late, twice, or again from somebody who has heard it: take it as a hint, and
/// [ask](super::Renderer::talk) for the job, or have whoever waits on it [ask](super::Renderer::hint).
///
/// ```
/// use http::HeaderMap;
/// use pipeline_gpu::remote::{TalkStatus, Webhook};
///
/// let webhook = Webhook::new("a secret of sixteen bytes or more")?;
/// let body = br#"{"id":"tlk_1","status":"started"}"#;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-signature", webhook.sign(body).parse()?);
/// assert_eq!(webhook.verify(&headers, body)?.status, TalkStatus::Started);
/// assert!(webhook.verify(&headers, b"{}").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Webhook {
    mac: Hmac<Sha256>,
    header: HeaderName,
}

impl Webhook {
    /// The fewest bytes of a secret: 16.
    pub const MIN_SECRET: usize = 16;

    /// The most bytes of a body: 64 KiB.
    pub const MAX_BODY: usize = 64 << 10;

    /// With this secret, and the signature in `x-signature`.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Config`] if the secret has fewer bytes than [`MIN_SECRET`](Self::MIN_SECRET).
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, RemoteError> {
        let secret = secret.as_ref();
        let short = RemoteError::Config {
            field: "the webhook's secret",
            expected: "16 bytes at least",
        };
        if secret.len() < Self::MIN_SECRET {
            return Err(short);
        }
        Ok(Self {
            mac: Hmac::new_from_slice(secret).map_err(|_| short)?,
            header: HeaderName::from_static("x-signature"),
        })
    }

    /// Sets the header in which the signature stands.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Reads a message whose signature is right. Compared in constant time, before the body is parsed.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; answer all but [`Body`](WebhookError::Body) with 401, and that with 400.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<Talk, WebhookError> {
        if body.len() > Self::MAX_BODY {
            return Err(WebhookError::TooLarge);
        }
        let mut signatures = headers.get_all(&self.header).iter();
        let (Some(signature), None) = (signatures.next(), signatures.next()) else {
            return Err(WebhookError::NoSignature);
        };
        let digits = signature.as_bytes();
        let digits = digits.strip_prefix(b"sha256=").unwrap_or(digits);
        let signature = from_hex(digits).ok_or(WebhookError::WrongSignature)?;
        let mut mac = self.mac.clone();
        mac.update(body);
        mac.verify_slice(&signature)
            .map_err(|_| WebhookError::WrongSignature)?;
        serde_json::from_slice(body).map_err(|_| WebhookError::Body)
    }

    /// The signature of a body, as [`verify`](Self::verify) reads it: for a proxy, and for tests.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.mac.clone();
        mac.update(body);
        let digits = mac.finalize().into_bytes();
        let digits = digits.iter().map(|byte| format!("{byte:02x}"));
        std::iter::once("sha256=".to_owned())
            .chain(digits)
            .collect()
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// A message that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookError {
    /// It has no signature, or more than one.
    NoSignature,
    /// It is signed by somebody else.
    WrongSignature,
    /// It has more bytes than [`Webhook::MAX_BODY`].
    TooLarge,
    /// It is signed, and is no job's description.
    Body,
}

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignature => f.write_str("the message has not one signature"),
            Self::WrongSignature => f.write_str("the message's signature is wrong"),
            Self::TooLarge => {
                write!(f, "the message has more than {} bytes", Webhook::MAX_BODY)
            }
            Self::Body => f.write_str("the message describes no job"),
        }
    }
}

impl Error for WebhookError {}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let digit = |of: u8| char::from(of).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8);
    pairs.iter().map(byte).collect()
}
