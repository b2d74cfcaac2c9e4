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
struct Names(HashMap<Name, u32>);

impl CustomKeys {
    /// The number of a key, and its text to share.
    pub(super) fn find(&self, event_type: &str, key: &str) -> Option<(u32, Arc<str>)> {
        let names = self.0.as_ref()?;
        let wanted: &dyn Pair = &(event_type, key);
        let (name, number) = names.0.get_key_value(wanted)?;
        Some((*number, Arc::clone(&name.key)))
    }

    pub(super) fn insert(&mut self, event_type: Cow<'static, str>, key: Arc<str>, number: u32) {
        let names = self.0.get_or_insert_default();
        names.0.insert(Name { event_type, key }, number);
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
}
