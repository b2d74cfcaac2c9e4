//! The State keys of custom events.

use std::{
    borrow::{Borrow, Cow},
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The number in the log of each event type and key, found without making a copy of either.
#[derive(Debug, Default)]
pub(super) struct CustomKeys(Option<Box<Names>>);

/// Apart, because most tasks have none.
#[derive(Debug, Default)]
struct Names {
    /// The first [`FEW`]: to look at each costs less than to hash what is looked for.
    few: Vec<(Name, u32)>,
    rest: HashMap<Name, u32>,
}

const FEW: usize = 8;

impl CustomKeys {
    /// The number of a key, and its text to share.
    pub(super) fn find(&self, event_type: &str, key: &str) -> Option<(u32, Arc<str>)> {
        let Names { few, rest } = &**self.0.as_ref()?;
        let wanted = (event_type, key);
        let found = match few.iter().find(|(name, _)| name.pair() == wanted) {
            Some((name, number)) => Some((name, number)),
            None if rest.is_empty() => None,
            None => rest.get_key_value(&wanted as &dyn Pair),
        };
        found.map(|(name, number)| (*number, Arc::clone(&name.key)))
    }

    pub(super) fn insert(&mut self, event_type: Cow<'static, str>, key: Arc<str>, number: u32) {
        let names = self.0.get_or_insert_default();
        let name = Name { event_type, key };
        if names.few.len() < FEW {
            names.few.push((name, number));
        } else {
            names.rest.insert(name, number);
        }
    }
}

#[derive(Debug)]
struct Name {
    event_type: Cow<'static, str>,
    key: Arc<str>,
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pair().hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for Name {}

/// What both a [`Name`] and two texts can be looked at as, so that the one is found by the other.
trait Pair {
    fn pair(&self) -> (&str, &str);
}

impl Pair for Name {
    fn pair(&self) -> (&str, &str) {
        (&self.event_type, &self.key)
    }
}

impl Pair for (&str, &str) {
    fn pair(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Pair + 'a> for Name {
    fn borrow(&self) -> &(dyn Pair + 'a) {
        self
    }
}

impl Hash for dyn Pair + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pair().hash(state);
    }
}

impl PartialEq for dyn Pair + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for dyn Pair + '_ {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_type_and_text_and_by_nothing_else() {
        let mut keys = CustomKeys::default();
        assert_eq!(keys.find("score", "a"), None);
        keys.insert(Cow::Borrowed("score"), Arc::from("a"), 0);
        keys.insert(Cow::Owned("face".to_owned()), Arc::from("a"), 1);
        let number = |event_type, key| keys.find(event_type, key).map(|(number, _)| number);
        assert_eq!(number("score", "a"), Some(0));
        assert_eq!(number("face", "a"), Some(1));
        assert_eq!(number("score", "b"), None);
        // One text cut elsewhere.
        assert_eq!(number("scor", "ea"), None);
    }

    #[test]
    fn many_keys_keep_their_numbers() {
        let mut keys = CustomKeys::default();
        for number in 0..100 {
            keys.insert(Cow::Borrowed("face"), Arc::from(number.to_string()), number);
        }
        for number in 0..100 {
            let text = number.to_string();
            let (found, key) = keys.find("face", &text).unwrap();
            assert_eq!((found, &*key), (number, &*text));
            assert_eq!(keys.find("score", &text), None);
        }
    }
}
