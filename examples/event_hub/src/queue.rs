//! What waits for a worker: by priority, then by who came first.

/// The highest priority; the lowest is 0.
pub(crate) const HIGHEST: u8 = 9;

/// Waiting jobs in the order in which they are taken.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Sorted: the next is the first.
    waiting: Vec<Entry<T>>,
    arrived: u64,
}

#[derive(Debug)]
struct Entry<T> {
    id: String,
    priority: u8,
    arrived: u64,
    job: T,
}

// Derived it would ask for a default of jobs.
impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            arrived: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Puts a job where it belongs.
    pub(crate) fn push(&mut self, id: String, priority: u8, job: T) {
        let arrived = self.arrived;
        self.arrived += 1;
        self.insert(Entry {
            id,
            priority,
            arrived,
            job,
        });
    }

    /// Takes the next one.
    pub(crate) fn pop(&mut self) -> Option<(String, T)> {
        (!self.waiting.is_empty()).then(|| {
            let next = self.waiting.remove(0);
            (next.id, next.job)
        })
    }

    /// Gives a waiting job another priority; returns the one it had and its place, from 1. None if
    /// it does not wait.
    pub(crate) fn reorder(&mut self, id: &str, priority: u8) -> Option<(u8, usize)> {
        let at = self.waiting.iter().position(|entry| entry.id == id)?;
        let mut entry = self.waiting.remove(at);
        let old = std::mem::replace(&mut entry.priority, priority);
        Some((old, self.insert(entry)))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Ids and priorities, the next one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u8)> {
        self.waiting
            .iter()
            .map(|entry| (entry.id.as_str(), entry.priority))
    }

    fn insert(&mut self, entry: Entry<T>) -> usize {
        let order = |entry: &Entry<T>| (HIGHEST.saturating_sub(entry.priority), entry.arrived);
        let at = self
            .waiting
            .partition_point(|waiting| order(waiting) < order(&entry));
        self.waiting.insert(at, entry);
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &Queue<()>) -> Vec<&str> {
        queue.iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn the_higher_priority_comes_first_and_equals_as_they_came() {
        let mut queue = Queue::default();
        for (id, priority) in [("a", 5), ("b", 5), ("c", 9), ("d", 0), ("e", 5)] {
            queue.push(id.into(), priority, ());
        }
        assert_eq!(order(&queue), ["c", "a", "b", "e", "d"]);
        assert_eq!(queue.pop().unwrap().0, "c");
    }

    #[test]
    fn another_priority_is_another_place() {
        let mut queue = Queue::default();
        for id in ["a", "b", "c"] {
            queue.push(id.into(), 5, ());
        }
        assert_eq!(queue.reorder("c", 7), Some((5, 1)));
        assert_eq!(order(&queue), ["c", "a", "b"]);
        // Back among its equals it is where it came.
        assert_eq!(queue.reorder("c", 5), Some((7, 3)));
        assert_eq!(queue.reorder("nobody", 5), None);
        assert_eq!(order(&queue), ["a", "b", "c"]);
    }
}
