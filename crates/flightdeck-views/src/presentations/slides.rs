//! The slides of the view `presentations`: a row for each that is there, with its place from 1 on, without holes.
//!
//! The presentation comes first in the key, so that all slides of one are found, and are gone with it. Another place is no change of
//! the slide: when one is put before it, its `updated_at` stays.

use std::collections::HashMap;

use flightdeck_core::Timestamp;
use flightdeck_domain::presentation::{SlideAdded, SlideContent, SlideUpdated};
use flightdeck_domain::words::SlideId;
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};

use super::edit;

/// The table of slides.
pub const SLIDES: &str = "slides";
/// The table of slides that were removed from presentations that are there.
pub const REMOVED: &str = "slides_removed";

pub(super) fn table() -> Table {
    Table::named(SLIDES)
        .key("presentation_id", Kind::Text)
        .key("slide_id", Kind::Text)
        .column("place", Kind::Integer)
        .nullable("title", Kind::Text)
        .column("content", Kind::Json)
        // What the content says, whatever its kind: what it is found by.
        .nullable("text", Kind::Text)
        .nullable("notes", Kind::Text)
        .column("created_at", Kind::Time)
        .column("updated_at", Kind::Time)
        .index(&["presentation_id", "place"])
        .index(&["updated_at"])
        .search(&["title", "text", "notes"])
        .of_stream("presentation", "presentation_id")
}

pub(super) fn removed() -> Table {
    Table::named(REMOVED)
        .key("presentation_id", Kind::Text)
        .key("slide_id", Kind::Text)
        .column("removed_at", Kind::Time)
        .of_stream("presentation", "presentation_id")
}

/// The row of one slide, in either table.
pub(super) fn key(table: &'static str, presentation: &str, slide: &SlideId) -> Key {
    Key::all_of(table, values(presentation, slide))
}

fn values(presentation: &str, slide: &SlideId) -> [Value; 2] {
    [presentation.into(), slide.as_str().into()]
}

/// Puts a slide in, unless it is there or was; those behind move on.
pub(super) fn add(
    rows: &mut Rows<'_>,
    presentation: &str,
    added: &SlideAdded,
    at: Timestamp,
) -> Result<bool, FoldError> {
    let key = values(presentation, &added.slide_id);
    if rows.find(SLIDES, &key).is_some() || rows.find(REMOVED, &key).is_some() {
        return Ok(false);
    }
    let mut behind = in_order(rows, presentation);
    let place = (added.order.get() - 1).min(behind.len());
    let behind = behind.split_off(place);
    let [presentation, slide] = key;
    let row: [Value; 9] = [
        presentation,
        slide,
        number(place).into(),
        added.title.as_ref().map(|title| title.as_str()).into(),
        json(&added.content)?,
        text(&added.content).into(),
        added.notes.as_ref().map(|notes| notes.as_str()).into(),
        at.into(),
        at.into(),
    ];
    rows.put(SLIDES, row)?;
    place_from(rows, place + 1, behind)?;
    Ok(true)
}

/// Changes a slide, if it is there.
pub(super) fn update(
    rows: &mut Rows<'_>,
    presentation: &str,
    change: &SlideUpdated,
    at: Timestamp,
) -> Result<bool, FoldError> {
    let SlideUpdated { presentation_id: _, slide_id, title, content, notes } = change;
    let Some(slide) = rows.find(SLIDES, &values(presentation, slide_id)).cloned() else { return Ok(false) };
    let mut now = slide.clone();
    edit(&mut now, "title", title)?;
    edit(&mut now, "notes", notes)?;
    if let Some(content) = content {
        now.set("content", json(content)?)?;
        now.set("text", text(content))?;
    }
    if now == slide {
        return Ok(false);
    }
    now.set("updated_at", at)?;
    rows.put_row(now)?;
    Ok(true)
}

/// Takes a slide out, if it is there; those behind move up.
pub(super) fn remove(
    rows: &mut Rows<'_>,
    presentation: &str,
    slide: &SlideId,
    at: Timestamp,
) -> Result<bool, FoldError> {
    let key = values(presentation, slide);
    let mut slides = in_order(rows, presentation);
    let Some(place) = slides.iter().position(|row| row.key() == key) else { return Ok(false) };
    let behind = slides.split_off(place + 1);
    for gone in slides.split_off(place) {
        rows.remove_row(&gone)?;
    }
    place_from(rows, place, behind)?;
    let [presentation, slide] = key;
    rows.put(REMOVED, [presentation, slide, at.into()])?;
    Ok(true)
}

/// Puts the named slides first, in their order; whatever the order does not name follows as it was.
pub(super) fn reorder(rows: &mut Rows<'_>, presentation: &str, order: &[SlideId]) -> Result<bool, FoldError> {
    let places: HashMap<Value, usize> =
        order.iter().enumerate().map(|(place, id)| (id.as_str().into(), place)).collect();
    let mut slides = in_order(rows, presentation);
    slides.sort_by_key(|slide| places.get(slide.get("slide_id")).copied().unwrap_or(usize::MAX));
    place_from(rows, 0, slides)
}

/// Removes all there is of the slides of a presentation.
pub(super) fn forget(rows: &mut Rows<'_>, presentation: &str) -> Result<(), FoldError> {
    for table in [SLIDES, REMOVED] {
        for row in rows.beginning(table, &[presentation.into()]) {
            rows.remove_row(&row)?;
        }
    }
    Ok(())
}

fn in_order(rows: &mut Rows<'_>, presentation: &str) -> Vec<Row> {
    let mut slides = rows.beginning(SLIDES, &[presentation.into()]);
    slides.sort_by_key(|slide| slide.integer("place"));
    slides
}

/// Gives slides the places from `first` on (counted from 0), one behind the other, and tells whether any had another one.
fn place_from(rows: &mut Rows<'_>, first: usize, slides: Vec<Row>) -> Result<bool, FoldError> {
    let mut changed = false;
    for (place, mut slide) in (first..).zip(slides) {
        let place = number(place);
        if slide.integer("place") != Some(place) {
            slide.set("place", place)?;
            rows.put_row(slide)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// A place that is counted from 0, as it is kept: from 1 on.
fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX).saturating_add(1)
}

fn json(content: &SlideContent) -> Result<Value, FoldError> {
    Ok(Value::Json(serde_json::to_string(content)?.into()))
}

fn text(content: &SlideContent) -> Option<&str> {
    match content {
        SlideContent::Text { text }
        | SlideContent::Markdown { text }
        | SlideContent::Code { language: _, text } => Some(text.as_str()),
        SlideContent::Image { url: _, alt } => alt.as_ref().map(|alt| alt.as_str()),
    }
}
