//! What the authorizer can be set to.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

#[cfg(feature = "jwks-url")]
use super::url::{self, JwksUrlError, Place};
use super::{
    Inner, Jwt,
    claims::Rules,
    file,
    jwks::{self, JwksError},
    key::Key,
    permission::{Permission, Permissions, Roles},
};

/// Settings of a [`Jwt`]. Its `Debug` shows neither keys nor the queries of URLs.
#[derive(Clone)]
#[must_use = "nothing is made until build()"]
pub struct JwtBuilder {
    rules: Rules,
    keys: Vec<Key>,
    sets: Vec<Vec<u8>>,
    files: Vec<PathBuf>,
    #[cfg(feature = "jwks-url")]
    urls: Vec<Place>,
    #[cfg(feature = "jwks-url")]
    fresh: Duration,
    kept: Duration,
    default_roles: bool,
    roles: Vec<(String, Permissions)>,
}

impl JwtBuilder {
    pub(super) fn new() -> Self {
        Self {
            rules: Rules::default(),
            keys: Vec::new(),
            sets: Vec::new(),
            files: Vec::new(),
            #[cfg(feature = "jwks-url")]
            urls: Vec::new(),
            #[cfg(feature = "jwks-url")]
            fresh: Duration::from_secs(5 * 60),
            kept: Duration::from_secs(24 * 3600),
            default_roles: true,
            roles: Vec::new(),
        }
    }

    /// Adds a key. During a rotation the old one and the new one are both there.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds the keys of a JWKS. Keys for encryption and of other algorithms are left out.
    pub fn jwks(mut self, text: impl AsRef<[u8]>) -> Self {
        self.sets.push(text.as_ref().to_vec());
        self
    }

    /// Adds the keys of a JWKS file. It is read by [`build`](Self::build), then again when a token
    /// comes 5 s or more after the last time, or with an unknown `kid` (once a second). What cannot
    /// be read leaves the keys as they were, for as long as [`jwks_kept`](Self::jwks_kept) says.
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds the keys of a JWKS on the web, by `https`: at most 1 MiB and 100 keys, within 5 s,
    /// redirected on the same host only. Secrets are left out, as what is published is none.
    ///
    /// It is fetched when the first token comes. While it cannot be, what takes one of its keys is
    /// refused with [`Refusal::Unavailable`](crate::Refusal::Unavailable). It is fetched again when
    /// a token comes after four fifths of [`jwks_fresh`](Self::jwks_fresh), in the background, and
    /// when one comes with an unknown `kid`, then at most every 30 s.
    #[cfg(feature = "jwks-url")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks-url")))]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(Place::Https(url.into()));
        self
    }

    /// As [`jwks_url`](Self::jwks_url), by `http` too, from this machine only: for tests, and for a
    /// proxy at one's side. Whoever can answer there can sign tokens.
    #[cfg(feature = "jwks-url")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks-url")))]
    pub fn jwks_url_insecure_loopback(mut self, url: impl Into<String>) -> Self {
        self.urls.push(Place::Loopback(url.into()));
        self
    }

    /// Sets for how long the keys of a URL count as those that are there now (default 5 min, at
    /// least 30 s).
    #[cfg(feature = "jwks-url")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks-url")))]
    pub fn jwks_fresh(mut self, time: Duration) -> Self {
        self.fresh = time;
        self
    }

    /// Sets for how long the keys of a URL or file are used while it cannot be read (default 24 h;
    /// never shorter than they are fresh). Then requests are refused with
    /// [`Refusal::Unavailable`](crate::Refusal::Unavailable).
    pub fn jwks_kept(mut self, time: Duration) -> Self {
        self.kept = time;
        self
    }

    /// Adds an issuer (default: any). With one or more, `iss` has to be one of them.
    ///
    /// All keys are trusted alike: each can sign for every issuer. Where issuers do not trust each
    /// other, make a [`Jwt`] for each.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuers.insert(issuer.into());
        self
    }

    /// Adds a name of this service (default none). With one or more, `aud` has to hold one of them;
    /// without, a token that has an `aud` is refused.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.insert(audience.into());
        self
    }

    /// Sets how far the clocks of issuers may be off (default 30 s, at most 5 min). Tokens are taken
    /// that much longer and earlier.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// Sets for how long a token is taken after its `iat`, whatever its `exp` (default: any time).
    /// Tokens without `iat` are then refused.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.rules.max_age = Some(age);
        self
    }

    /// Sets what stands before a permission's name (default `pipeline`, as in `pipeline:view`).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.rules.namespace = namespace.into();
        self
    }

    /// Sets what a role may do, in place of what it could. By default `admin` may do all,
    /// `operator` all but manage, and `viewer` may view, list and watch channels.
    pub fn role(
        mut self,
        name: impl Into<String>,
        permissions: impl IntoIterator<Item = Permission>,
    ) -> Self {
        let permissions = permissions.into_iter().collect();
        self.roles.push((name.into(), permissions));
        self
    }

    /// Leaves out the roles that there are by default, wherever this is called.
    pub fn no_default_roles(mut self) -> Self {
        self.default_roles = false;
        self
    }

    /// Sets the claim of the roles (default `roles`): its name, else a path to it, such as
    /// `realm_access.roles`. It is a list of texts, or one text with spaces or commas between.
    pub fn roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.roles_claim = claim.into();
        self
    }

    /// Sets the claim of the permissions (default `permissions`), named and read as that of the
    /// roles.
    pub fn permissions_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.permissions_claim = claim.into();
        self
    }

    /// Sets the claim of the OAuth scope (default `scope`), which holds permissions too.
    pub fn scope_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.scope_claim = claim.into();
        self
    }

    /// Sets the claim of the tasks that a token is confined to (default `tasks`).
    pub fn tasks_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.tasks_claim = claim.into();
        self
    }

    /// Sets the claim of the channels that a token is confined to (default `channels`).
    pub fn channels_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.channels_claim = claim.into();
        self
    }

    /// Makes the authorizer. JWKS files are read now, URLs when the first token comes.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there is no key, or something that was set cannot be used.
    pub fn build(mut self) -> Result<Jwt, BuildError> {
        if self.rules.leeway > MOST_LEEWAY {
            return Err(BuildError::Leeway { limit: MOST_LEEWAY });
        }
        let namespace = &self.rules.namespace;
        if namespace.is_empty()
            || !namespace
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return Err(BuildError::Namespace);
        }
        for set in &self.sets {
            self.keys.extend(jwks::strict(set)?);
        }
        if self.keys.len() > jwks::MOST_KEYS {
            let limit = jwks::MOST_KEYS;
            return Err(BuildError::TooManyKeys { limit });
        }
        let mut sources = Vec::new();
        for path in self.files {
            sources.push(file::open(path, self.kept)?);
        }
        #[cfg(feature = "jwks-url")]
        for place in &self.urls {
            sources.push(url::open(place, self.fresh, self.kept)?);
        }
        if self.keys.is_empty() && sources.is_empty() {
            return Err(BuildError::NoKeys);
        }
        if !self.default_roles {
            self.rules.roles = Roles::none();
        }
        for (role, permissions) in self.roles {
            self.rules.roles.set(role, permissions);
        }
        Ok(Jwt {
            inner: Arc::new(Inner {
                rules: self.rules,
                keys: self.keys.into(),
                sources,
            }),
        })
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("JwtBuilder");
        shown
            .field("rules", &self.rules)
            .field("keys", &self.keys)
            .field("sets", &self.sets.len())
            .field("files", &self.files)
            .field("kept", &self.kept);
        #[cfg(feature = "jwks-url")]
        shown
            .field("urls", &self.urls.len())
            .field("fresh", &self.fresh);
        shown.finish_non_exhaustive()
    }
}

/// An authorizer that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no key, and nowhere to get one from.
    NoKeys,
    /// There are more keys than there can be.
    TooManyKeys {
        /// How many there can be.
        limit: usize,
    },
    /// The leeway is too long.
    Leeway {
        /// How long it can be.
        limit: Duration,
    },
    /// The namespace is empty, or has spaces, commas or other than ASCII in it.
    Namespace,
    /// A set of keys cannot be used.
    Jwks(JwksError),
    /// Keys cannot be fetched from a URL.
    #[cfg(feature = "jwks-url")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks-url")))]
    Url(JwksUrlError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("there is no key to verify tokens with"),
            Self::TooManyKeys { limit } => write!(f, "there are more than {limit} keys"),
            Self::Leeway { limit } => {
                write!(f, "the leeway is longer than {} s", limit.as_secs())
            }
            Self::Namespace => {
                f.write_str("the namespace is empty or has spaces, commas or other than ASCII")
            }
            Self::Jwks(_) => f.write_str("a set of keys cannot be used"),
            #[cfg(feature = "jwks-url")]
            Self::Url(_) => f.write_str("keys cannot be fetched from a URL"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Jwks(error) => Some(error),
            #[cfg(feature = "jwks-url")]
            Self::Url(error) => Some(error),
            _ => None,
        }
    }
}

impl From<JwksError> for BuildError {
    fn from(error: JwksError) -> Self {
        Self::Jwks(error)
    }
}

#[cfg(feature = "jwks-url")]
impl From<JwksUrlError> for BuildError {
    fn from(error: JwksUrlError) -> Self {
        Self::Url(error)
    }
}

/// Clocks that are further off are broken, and a longer leeway undoes `exp`.
const MOST_LEEWAY: Duration = Duration::from_secs(5 * 60);
