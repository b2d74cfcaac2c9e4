//! Numbers for the names of State keys.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// Gives the names of State keys the numbers 0, 1, 2… that a [`Log`](super::Log) wants; the number
/// of a key that has had its day is given again.
#[derive(Debug)]
pub(crate) struct Keys<K = String> {
    by_name: HashMap<K, u32>,
    free: Vec<u32>,
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            free: Vec::new(),
        }
    }
}

impl<K: Borrow<str> + Eq + Hash> Keys<K> {
    /// The number of a name, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The number of a name: its own, or one that is free.
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.find(name).unwrap_or_else(|| {
            let next = (self.by_name.len() + self.free.len()) as u32;
            self.free.last().copied().unwrap_or(next)
        })
    }

    /// Gives a name the number that [`number`](Self::number) found, once the log has taken it.
    pub(crate) fn keep(&mut self, name: K, number: u32) {
        if self.by_name.insert(name, number).is_none() {
            self.free.pop_if(|free| *free == number);
        }
    }

    /// Takes a name's number back.
    pub(crate) fn retire(&mut self, name: &str) -> Option<u32> {
        let number = self.by_name.remove(name)?;
        self.free.push(number);
        Some(number)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_when_its_name_has_had_its_day() {
        let mut keys = Keys::<String>::default();
        for (name, number) in [("a", 0), ("b", 1), ("c", 2)] {
            assert_eq!(keys.number(name), number);
            keys.keep(name.to_owned(), number);
        }
        assert_eq!(keys.retire("b"), Some(1));
        assert_eq!(keys.number("a"), 0);
        assert_eq!(keys.number("d"), 1);
        keys.keep("d".to_owned(), 1);
        assert_eq!(keys.number("e"), 3);
        assert_eq!(keys.retire("b"), None);
    }
}
