//! The difference between two faces of a thing, field by field.
//!
//! A field that is not there is told from one with nothing in it: the former is left out of the JSON, the latter is `null`. A thing
//! that is not there, before it came to be or after it was deleted, has no fields at all.

mod items;
mod words;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

pub use self::items::{Items, items};
pub use self::words::{Piece, WORDS_MAX, words};
use crate::thing::{Face, Facet, SlideFace};

/// What is not the same in two faces of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The fields that differ, in their usual order.
    pub changes: Vec<Change>,
    /// The slides that differ, as they stand afterwards; those that are gone follow, as they stood. A slide that only stands
    /// elsewhere is not among them: the order is the field `slideIds`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slides: Vec<SlideChange>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The field.
    pub field: &'static str,
    /// What was in it; absent when it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is in it; absent when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Of prose that was there and is: what was kept, removed and added, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Piece>>,
    /// Of a list that was there and is: what was added, removed and moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
}

/// A slide that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlideChange {
    /// The slide.
    pub slide_id: String,
    /// What became of it.
    pub what: Became,
    /// Where it stood, from 1 on; absent when it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_before: Option<usize>,
    /// Where it stands, from 1 on; absent when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_after: Option<usize>,
    /// The fields that differ.
    pub changes: Vec<Change>,
}

/// What became of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// It was not there, and is.
    Added,
    /// It was there, and is not.
    Removed,
    /// It is not as it was.
    Changed,
}

impl Difference {
    /// What differs between two faces; `None` is a thing that is not there. At most `words_max` words are compared, the first ones.
    #[must_use]
    pub fn between(before: Option<&Face>, after: Option<&Face>, words_max: usize) -> Self {
        let nothing = Face::default();
        let (before, after) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
        let mut left = words_max;
        let changes = changes(&before.fields, &after.fields, &mut left);
        Self { changes, slides: slide_changes(&before.slides, &after.slides, &mut left) }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.slides.is_empty()
    }

    /// About how many bytes it takes as JSON.
    pub(crate) fn bytes(&self) -> usize {
        let slides = self.slides.iter().flat_map(|slide| &slide.changes);
        self.changes.iter().chain(slides).map(Change::bytes).sum::<usize>() + 128 * self.slides.len()
    }
}

impl Change {
    fn bytes(&self) -> usize {
        fn of(value: &Value) -> usize {
            match value {
                Value::String(text) => text.len() + 2,
                Value::Array(items) => items.iter().map(|item| of(item) + 1).sum(),
                _ => 8,
            }
        }
        let values = self.before.iter().chain(&self.after).map(of).sum::<usize>();
        let pieces = self.words.iter().flatten().map(|piece| piece.text().len() + 16).sum::<usize>();
        let items = self.items.as_ref().map_or(0, Items::bytes);
        64 + values + pieces + items
    }
}

type Fields = [(&'static str, Facet)];

/// Fields of the face afterwards come in its order, and those that only were there before follow.
fn changes(before: &Fields, after: &Fields, left: &mut usize) -> Vec<Change> {
    fn find<'f>(fields: &'f Fields, name: &str) -> Option<&'f Facet> {
        fields.iter().find(|(known, _)| *known == name).map(|(_, facet)| facet)
    }
    let gone = before.iter().filter(|(name, _)| find(after, name).is_none());
    let names = after.iter().chain(gone).map(|(name, _)| *name);
    names.filter_map(|name| change(name, find(before, name), find(after, name), left)).collect()
}

fn change(
    field: &'static str,
    before: Option<&Facet>,
    after: Option<&Facet>,
    left: &mut usize,
) -> Option<Change> {
    if before == after {
        return None;
    }
    let (mut pieces, mut moves) = (None, None);
    match (before, after) {
        (Some(Facet::Text(Some(before))), Some(Facet::Text(Some(after)))) => {
            pieces = Some(words(before, after, left));
        }
        (Some(Facet::List(before)), Some(Facet::List(after))) => moves = Some(items(before, after)),
        _ => {}
    }
    let [before, after] = [before, after].map(|facet| facet.map(Facet::to_json));
    Some(Change { field, before, after, words: pieces, items: moves })
}

fn slide_changes(before: &[SlideFace], after: &[SlideFace], left: &mut usize) -> Vec<SlideChange> {
    fn places(slides: &[SlideFace]) -> HashMap<&str, usize> {
        slides.iter().enumerate().map(|(place, slide)| (slide.id.as_str(), place)).collect()
    }
    let (was_at, is_at) = (places(before), places(after));
    let gone = before.iter().filter(|slide| !is_at.contains_key(slide.id.as_str()));
    let change = |slide: &SlideFace| {
        let (was_at, is_at) = (was_at.get(slide.id.as_str()), is_at.get(slide.id.as_str()));
        let (was, is) = (was_at.map(|place| &before[*place]), is_at.map(|place| &after[*place]));
        let what = match (was, is) {
            (None, _) => Became::Added,
            (_, None) => Became::Removed,
            (Some(was), Some(is)) if was == is => return None,
            (Some(_), Some(_)) => Became::Changed,
        };
        let [was, is] = [was, is].map(|slide| slide.map_or(&[][..], |slide| &slide.fields));
        let [place_before, place_after] = [was_at, is_at].map(|place| place.map(|place| place + 1));
        Some(SlideChange {
            slide_id: slide.id.clone(),
            what,
            place_before,
            place_after,
            changes: changes(was, is, left),
        })
    };
    after.iter().chain(gone).filter_map(change).collect()
}

#[cfg(test)]
mod tests;
