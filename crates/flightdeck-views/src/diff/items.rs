//! The difference between two lists of texts, item by item.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// What is not the same in two lists. An item that is in a list twice counts as two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// Those that came in, in the order afterwards.
    pub added: Vec<String>,
    /// Those that are gone, in the order before.
    pub removed: Vec<String>,
    /// Those that are in both and stand elsewhere among the others: as few as account for the order afterwards, which they come in.
    pub moved: Vec<String>,
}

impl Items {
    pub(super) fn bytes(&self) -> usize {
        let all = self.added.iter().chain(&self.removed).chain(&self.moved);
        all.map(|item| item.len() + 3).sum::<usize>()
    }
}

/// What differs between two lists.
#[must_use]
pub fn items(before: &[String], after: &[String]) -> Items {
    let (old, new) = (counted(before), counted(after));
    let (all_old, all_new): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
    let (was, removed): (Vec<Item<'_>>, Vec<_>) = old.iter().partition(|item| all_new.contains(item));
    let (is, added): (Vec<Item<'_>>, Vec<_>) = new.iter().partition(|item| all_old.contains(item));
    // Each item is there once, so that this is exact, and no more work than sorting is.
    let ops = capture_diff_slices(Algorithm::Hunt, &was, &is);
    let elsewhere = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    let moved: Vec<Item<'_>> = elsewhere.flat_map(|op| &is[op.new_range()]).copied().collect();
    let [added, removed, moved] =
        [added, removed, moved].map(|items| items.iter().map(|(text, _)| (*text).to_owned()).collect());
    Items { added, removed, moved }
}

/// An item, and how many like it stand before it.
type Item<'i> = (&'i str, usize);

fn counted(items: &[String]) -> Vec<Item<'_>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut number = |item| {
        let before = seen.entry(item).or_default();
        *before += 1;
        *before - 1
    };
    items.iter().map(|item| (item.as_str(), number(item.as_str()))).collect()
}
