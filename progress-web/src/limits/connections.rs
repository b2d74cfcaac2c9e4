//! How many connections there can be: in all, of an address, of a subject.

use std::{borrow::Borrow, collections::HashMap, fmt, hash::Hash, sync::Arc, time::Duration};

use super::client::AddressKey;
use crate::{
    error::{ApiError, Code},
    metrics::Metrics,
};

/// How many connections there can be at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    pub(crate) all: usize,
    pub(crate) address: usize,
    pub(crate) subject: usize,
}

/// How many connections each address and each subject has. What has none has no entry, so there
/// are never more entries than connections.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    addresses: HashMap<AddressKey, usize>,
    subjects: HashMap<Arc<str>, usize>,
}

/// Of what there are too many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Address,
    Subject,
}

impl ConnectionLimits {
    /// Says that there are too many, which is counted. How many others have is not said.
    pub(crate) fn exceeded(self, scope: Scope, counts: &Metrics) -> ApiError {
        let (limit, whose, counted) = match scope {
            Scope::All => (self.all, "", "connections"),
            Scope::Address => (self.address, " from one address", "connections_of_address"),
            Scope::Subject => (self.subject, " of one subject", "connections_of_subject"),
        };
        counts.limited(counted);
        let message = format!("too many connections{whose}, the limit is {limit}");
        ApiError::new(Code::ConnectionLimit, message)
            .detail("limit", limit)
            .detail("scope", scope.to_string())
            .retry_after(RETRY)
    }
}

impl Shares {
    /// Counts one more of an address, unless that is one too many.
    pub(crate) fn take_address(&mut self, key: AddressKey, limit: usize) -> bool {
        take(&mut self.addresses, &key, limit)
    }

    pub(crate) fn release_address(&mut self, key: AddressKey) {
        release(&mut self.addresses, &key);
    }

    /// Counts one more of a subject, unless that is one too many.
    pub(crate) fn take_subject(&mut self, subject: &Arc<str>, limit: usize) -> bool {
        take(&mut self.subjects, subject, limit)
    }

    pub(crate) fn release_subject(&mut self, subject: &str) {
        release(&mut self.subjects, subject);
    }
}

fn take<K: Hash + Eq + Clone>(map: &mut HashMap<K, usize>, key: &K, limit: usize) -> bool {
    match map.get_mut(key) {
        Some(count) if *count >= limit => false,
        Some(count) => {
            *count += 1;
            true
        }
        None if limit == 0 => false,
        None => {
            map.insert(key.clone(), 1);
            true
        }
    }
}

fn release<K, Q>(map: &mut HashMap<K, usize>, key: &Q)
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    if let Some(count) = map.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            map.remove(key);
        }
    }
    if map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Address => "address",
            Self::Subject => "subject",
        })
    }
}

/// When to try again: connections are held long.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_has_no_connection_any_more_leaves_nothing_behind() {
        let mut shares = Shares::default();
        let key = |n| AddressKey::of(Ipv4Addr::from_bits(n).into());
        let subject = |n: u32| Arc::<str>::from(format!("subject {n}"));
        for _ in 0..2 {
            for n in 0..10_000 {
                assert!(shares.take_address(key(n), 2));
                assert!(shares.take_subject(&subject(n), 2));
            }
        }
        for n in 0..10_000 {
            assert!(!shares.take_address(key(n), 2));
            assert!(!shares.take_subject(&subject(n), 2));
        }
        for _ in 0..2 {
            assert_eq!(
                (shares.addresses.len(), shares.subjects.len()),
                (10_000, 10_000)
            );
            for n in 0..10_000 {
                shares.release_address(key(n));
                shares.release_subject(&subject(n));
            }
        }
        assert!(shares.addresses.is_empty() && shares.subjects.is_empty());
        assert!(shares.addresses.capacity() + shares.subjects.capacity() < 100);
        assert!(!shares.take_address(key(0), 0));
    }
}
