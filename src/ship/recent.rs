//! What the shipper remembers of the database: the latest of it, within bounds.

use std::collections::HashMap;
use std::hash::Hash;

/// Remembers at least the latest `N` keys that were noted or asked for, and never more than twice as many.
#[derive(Debug)]
pub struct Recent<K, V, const N: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const N: usize> Default for Recent<K, V, N> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, V: Copy, const N: usize> Recent<K, V, N> {
    /// What is remembered of this key. What is asked for stays remembered.
    pub fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = *self.old.get(&key)?;
        self.insert(key, value);
        Some(value)
    }

    /// Remembers this in place of what was known of the key.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= N {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_forgotten_and_the_rest_is() {
        let mut recent = Recent::<i64, i64, 1000>::default();
        recent.insert(-1, 7);
        for key in 0..3000 {
            recent.insert(key, key);
            assert_eq!(recent.get(-1), Some(7));
        }
        assert_eq!(recent.get(0), None);
        assert_eq!(recent.get(2999), Some(2999));
        assert!(recent.young.len() + recent.old.len() <= 2000);
    }
}
