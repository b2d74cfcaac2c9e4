//! The keys that signatures are checked with.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    DecodingKey, DecodingKeyKind,
    crypto::aws_lc::DEFAULT_PROVIDER,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};

/// How a token is signed. It belongs to the [`Key`]: what a token says of it decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA with SHA-256, PKCS #1 v1.5.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256: whoever can check a token can make one.
    Hs256,
}

impl Algorithm {
    /// Returns the name in a token's `alg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that tokens are verified with, for one [`Algorithm`]. Its `Debug` shows its id and
/// algorithm, never the key.
///
/// ```
/// use progress_web::jwt::{Key, KeyError};
///
/// # let secret = [7; 32];
/// let key = Key::hs256(secret)?.kid("2026-11");
/// assert_eq!(Key::hs256("too short").unwrap_err(), KeyError::Weak { bits: 72, least: 256 });
/// # drop(key);
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    /// Makes a key for RS256 of a public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`).
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is no such key, or does not have 2 048 to 8 192 bits.
    pub fn rs256(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let pem = pem.as_ref();
        public(pem, "RSA PUBLIC KEY")?;
        let key = DecodingKey::from_rsa_pem(pem).map_err(|_| KeyError::Malformed)?;
        let (modulus, exponent) = key
            .try_get_as_bytes()
            .and_then(
                DEFAULT_PROVIDER
                    .key_utils
                    .rsa_pub_components_from_public_key,
            )
            .map_err(|_| KeyError::Malformed)?;
        Self::rsa(&modulus, &exponent)
    }

    /// Makes a key for ES256 of a public key on P-256 in PEM (`PUBLIC KEY`).
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is no such key.
    pub fn es256(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let pem = pem.as_ref();
        let der = public(pem, "PUBLIC KEY")?;
        if !der.windows(P256.len()).any(|bytes| bytes == P256) {
            return Err(KeyError::Malformed);
        }
        let key = DecodingKey::from_ec_pem(pem).map_err(|_| KeyError::Malformed)?;
        Self::on_p256(key)
    }

    /// Makes a key for `EdDSA` of a public Ed25519 key in PEM (`PUBLIC KEY`).
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is no such key.
    pub fn eddsa(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let pem = pem.as_ref();
        public(pem, "PUBLIC KEY")?;
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::Malformed)?;
        Self::of_length(Algorithm::EdDsa, key, 32)
    }

    /// Makes a key for HS256 of a secret of at least 32 bytes, best random ones.
    ///
    /// # Errors
    ///
    /// [`KeyError::Weak`] if it is shorter, [`KeyError::NotSecret`] if it is a key in PEM: one that
    /// is public would let everybody sign.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::NotSecret);
        }
        if secret.len() < LEAST_SECRET {
            return Err(KeyError::Weak {
                bits: secret.len() * 8,
                least: LEAST_SECRET * 8,
            });
        }
        Ok(Self::new(
            Algorithm::Hs256,
            DecodingKey::from_secret(secret),
        ))
    }

    /// Sets the id (default none). A token that names a key in `kid` is verified with a key of that
    /// id or not at all; one without, with any key of its algorithm.
    #[must_use]
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Reads a key of a JWKS; `None` if it is for something else than the signatures known here.
    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Option<Self>, KeyError> {
        let common = &jwk.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs {
            return Ok(None);
        }
        let key = || DecodingKey::from_jwk(jwk).map_err(|_| KeyError::Malformed);
        let mut key = match (&jwk.algorithm, common.key_algorithm) {
            (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => {
                match key()?.kind() {
                    DecodingKeyKind::RsaModulusExponent { n, e } => Self::rsa(n, e)?,
                    DecodingKeyKind::SecretOrDer(_) => return Err(KeyError::Malformed),
                }
            }
            (AlgorithmParameters::EllipticCurve(point), None | Some(KeyAlgorithm::ES256))
                if point.curve == EllipticCurve::P256 =>
            {
                Self::on_p256(key()?)?
            }
            (AlgorithmParameters::OctetKeyPair(point), None | Some(KeyAlgorithm::EdDSA))
                if point.curve == EllipticCurve::Ed25519 =>
            {
                Self::of_length(Algorithm::EdDsa, key()?, 32)?
            }
            // Without an `alg` bytes could be a secret for anything.
            (AlgorithmParameters::OctetKey(_), Some(KeyAlgorithm::HS256)) => {
                let key = key()?;
                Self::hs256(key.try_get_as_bytes().map_err(|_| KeyError::Malformed)?)?
            }
            _ => return Ok(None),
        };
        key.kid.clone_from(&common.key_id);
        Ok(Some(key))
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Tells whether the message was signed with this key. Secrets are compared in constant time.
    pub(super) fn verifies(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        // The provider is named, as the one of the process can be set by others or not at all.
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.of_library(), &self.key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let bits = match modulus[zeros..].first() {
            Some(first) => (modulus.len() - zeros) * 8 - first.leading_zeros() as usize,
            None => 0,
        };
        if bits < LEAST_MODULUS {
            let least = LEAST_MODULUS;
            return Err(KeyError::Weak { bits, least });
        }
        if bits > MOST_MODULUS {
            let most = MOST_MODULUS;
            return Err(KeyError::TooLong { bits, most });
        }
        let key = DecodingKey::from_rsa_raw_components(&modulus[zeros..], exponent);
        Ok(Self::new(Algorithm::Rs256, key))
    }

    fn on_p256(key: DecodingKey) -> Result<Self, KeyError> {
        let uncompressed = key
            .try_get_as_bytes()
            .is_ok_and(|point| point.first() == Some(&4));
        if !uncompressed {
            return Err(KeyError::Malformed);
        }
        Self::of_length(Algorithm::Es256, key, 65)
    }

    fn of_length(algorithm: Algorithm, key: DecodingKey, bytes: usize) -> Result<Self, KeyError> {
        match key.try_get_as_bytes() {
            Ok(key) if key.len() == bytes => {}
            _ => return Err(KeyError::Malformed),
        }
        Ok(Self::new(algorithm, key))
    }

    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self {
            kid: None,
            algorithm,
            key,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no public key of the algorithm, in the form that is read here.
    Malformed,
    /// It is a private key, which only belongs where tokens are signed.
    Private,
    /// It is said to be a secret and is a key in PEM.
    NotSecret,
    /// It can be guessed or computed.
    Weak {
        /// How many bits it has.
        bits: usize,
        /// How many it has to have.
        least: usize,
    },
    /// It is longer than signatures are checked with.
    TooLong {
        /// How many bits it has.
        bits: usize,
        /// How many it can have.
        most: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("this is no public key of the algorithm"),
            Self::Private => f.write_str("a private key does not belong here, only its public key"),
            Self::NotSecret => f.write_str("a key in PEM is no secret for HS256"),
            Self::Weak { bits, least } => write!(f, "the key has {bits} bits, fewer than {least}"),
            Self::TooLong { bits, most } => write!(f, "the key has {bits} bits, more than {most}"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Reads what stands in a PEM with one public key, of a label that fits.
fn public(pem: &[u8], label: &str) -> Result<Vec<u8>, KeyError> {
    let text = str::from_utf8(pem).map_err(|_| KeyError::Malformed)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let (_, text) = text.split_once("-----BEGIN ").ok_or(KeyError::Malformed)?;
    let (found, text) = text.split_once("-----").ok_or(KeyError::Malformed)?;
    let (body, rest) = text.split_once("-----END ").ok_or(KeyError::Malformed)?;
    if (found != "PUBLIC KEY" && found != label) || rest.contains("-----BEGIN ") {
        return Err(KeyError::Malformed);
    }
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| KeyError::Malformed)
}

/// As long as the hash: what the algorithm's own specification asks for.
const LEAST_SECRET: usize = 32;

/// What the algorithm's own specification asks for, in bits.
const LEAST_MODULUS: usize = 2_048;

/// The longest that the library verifies with, in bits.
const MOST_MODULUS: usize = 8_192;

/// The curve's identifier, as it stands in a public key.
const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
