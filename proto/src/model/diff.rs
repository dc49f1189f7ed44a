//! What changed between two maps of services.

use std::collections::BTreeMap;

/// The outcome of comparing two maps by key; borrowed from the newer one, removed keys from the older.
#[derive(Debug, PartialEq)]
pub struct Diff<'a, K, V> {
    /// Keys that only the newer one has.
    pub added: Vec<(&'a K, &'a V)>,
    /// Keys that both have with different values: key, older value, newer value.
    pub changed: Vec<(&'a K, &'a V, &'a V)>,
    /// Keys that only the older one has.
    pub removed: Vec<&'a K>,
}

/// Compares `old` and `new`. SIGHUP, the admin API and Register all go through this.
pub fn diff<'a, K: Ord, V: PartialEq>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> Diff<'a, K, V> {
    let mut result = Diff {
        added: Vec::new(),
        changed: Vec::new(),
        removed: Vec::new(),
    };
    for (key, value) in new {
        match old.get(key) {
            None => result.added.push((key, value)),
            Some(before) if before != value => result.changed.push((key, before, value)),
            Some(_) => {}
        }
    }
    result.removed.extend(old.keys().filter(|key| !new.contains_key(*key)));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_added_changed_and_removed_apart() {
        let old = BTreeMap::from([("a", 1), ("b", 2), ("c", 3)]);
        let new = BTreeMap::from([("b", 2), ("c", 4), ("d", 5)]);
        let found = diff(&old, &new);
        assert_eq!(found.added, [(&"d", &5)]);
        assert_eq!(found.changed, [(&"c", &3, &4)]);
        assert_eq!(found.removed, [&"a"]);
    }
}
