//! The secrets that grants and tickets are signed with.

use std::{error::Error, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret that [grants](crate::Grant) and tickets are signed with, by HMAC-SHA256.
///
/// Whatever holds the same secret can issue and check them: other nodes, and services that hand
/// out grants for tasks that they do not run. It is never shown, also not by `Debug`.
///
/// ```
/// use progress_web::Secret;
///
/// let bytes = std::env::var("PROGRESS_SECRET").unwrap_or_else(|_| "0".repeat(64));
/// let secret = Secret::new(bytes)?;
/// assert!(Secret::new("too short").is_err());
/// # drop(secret);
/// # Ok::<(), progress_web::WeakSecret>(())
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The fewest bytes of a secret: as many as the signature has.
    pub const MIN_LEN: usize = 32;

    /// Makes a secret of bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`WeakSecret`] if there are fewer than [`MIN_LEN`](Self::MIN_LEN).
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, WeakSecret> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() < Self::MIN_LEN {
            return Err(WeakSecret { len: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Makes a random one, which no other process has.
    #[must_use]
    pub fn random() -> Self {
        // 122 random bits each, from the system.
        let halves = [
            uuid::Uuid::new_v4(),
            uuid::Uuid::new_v4(),
            uuid::Uuid::new_v4(),
        ];
        let bytes = halves.iter().flat_map(|half| *half.as_bytes());
        Self(Zeroizing::new(bytes.collect()))
    }

    /// Signs claims: `<kind>.<claims>.<signature>`, the latter two in base64url without padding.
    pub(super) fn seal(&self, kind: &str, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).expect("claims have string keys");
        let mut text = format!("{kind}.{}", BASE64.encode(claims));
        let signature = self.mac(&text).finalize().into_bytes();
        text.push('.');
        BASE64.encode_string(signature, &mut text);
        text
    }

    /// Reads claims whose signature is ours; compared in constant time.
    fn open<T: DeserializeOwned>(&self, kind: &str, text: &str) -> Option<T> {
        let (signed, signature) = text.rsplit_once('.')?;
        let claims = signed.strip_prefix(kind)?.strip_prefix('.')?;
        let signature = BASE64.decode(signature).ok()?;
        self.mac(signed).verify_slice(&signature).ok()?;
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secret that is signed with, and those of which signatures are still taken.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    pub(crate) current: Secret,
    pub(crate) others: Vec<Secret>,
}

impl Secrets {
    pub(super) fn open<T: DeserializeOwned>(&self, kind: &str, text: &str) -> Option<T> {
        if text.len() > SEALED {
            return None;
        }
        let mut secrets = std::iter::once(&self.current).chain(&self.others);
        secrets.find_map(|secret| secret.open(kind, text))
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            current: Secret::random(),
            others: Vec::new(),
        }
    }
}

/// A secret is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeakSecret {
    /// The bytes it has.
    pub len: usize,
}

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, least) = (self.len, Secret::MIN_LEN);
        write!(f, "the secret has {len} bytes, it needs at least {least}")
    }
}

impl Error for WeakSecret {}

/// Bytes of a grant or a ticket; what is longer is not looked at.
const SEALED: usize = 4 * 1_024;
