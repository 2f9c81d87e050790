//! The view `presentations`: one row for each presentation that is there, and one for each of its slides.
//!
//! Both tables are of one projection, for one fold knows what both say: how many slides there are is counted where they are put in
//! and taken out, and whoever joins the tables sees them as of the same moment.
//!
//! What the decider remembers of what is gone is kept as well, for an id is not used again: `presentations_deleted` and
//! `slides_removed`. So the view follows any history as the decider does, also one that no command would have made.

mod slides;

use flightdeck_core::{Edit, Timestamp};
use flightdeck_domain::presentation::{Created, Event, Presentation, Updated};
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};

pub use self::slides::{REMOVED, SLIDES};
use crate::subject::{Deletion, happened, subject};

/// The name of the view, and of its table of presentations.
pub const NAME: &str = "presentations";
/// The table of the presentations that were deleted.
pub const DELETED: &str = "presentations_deleted";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

const DELETION: Deletion = Deletion { event_type: "PresentationDeleted", id: "presentationId" };

/// The projection of the view `presentations`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PresentationsView;

impl Projection for PresentationsView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        Reads::events_of::<Presentation>()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("id", Kind::Text)
                .column("title", Kind::Text)
                .nullable("description", Kind::Text)
                .column("author", Kind::Text)
                .column("theme", Kind::Text)
                .column("is_public", Kind::Boolean)
                .column("slide_count", Kind::Integer)
                .column("created_at", Kind::Time)
                // Of the presentation or any of its slides.
                .column("updated_at", Kind::Time)
                .index(&["author", "updated_at"])
                .index(&["is_public", "updated_at"])
                .index(&["updated_at"])
                .search(&["title", "description"])
                .of_stream("presentation", "id"),
            Table::named(DELETED)
                .key("id", Kind::Text)
                .column("deleted_at", Kind::Time)
                .of_stream("presentation", "id"),
            slides::table(),
            slides::removed(),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let id = subject(event)?;
        let Some(happened) = read(event)? else { return Ok(vec![]) };
        let mut keys = vec![Key::of(NAME, id)];
        match &happened {
            Event::Created(_) => keys.push(Key::of(DELETED, id)),
            Event::Updated(_) => {}
            Event::Deleted(_) => {
                keys.extend([Key::of(DELETED, id), Key::of(SLIDES, id), Key::of(REMOVED, id)]);
            }
            Event::SlideUpdated(change) => keys.push(slides::key(SLIDES, id, &change.slide_id)),
            // Where one slide comes or goes, the places of all others are in question.
            Event::SlideAdded(added) => {
                keys.extend([Key::of(SLIDES, id), slides::key(REMOVED, id, &added.slide_id)]);
            }
            Event::SlideRemoved(gone) => {
                keys.extend([Key::of(SLIDES, id), slides::key(REMOVED, id, &gone.slide_id)]);
            }
            Event::SlidesReordered(_) => keys.push(Key::of(SLIDES, id)),
        }
        Ok(keys)
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let (id, at) = (subject(event)?, event.recorded_at);
        let Some(happened) = read(event)? else { return Ok(()) };
        let deck = rows.get(NAME, id).cloned();
        match (deck, happened) {
            (None, Event::Created(new)) if rows.get(DELETED, id).is_none() => {
                rows.put(NAME, created(id, &new, at))
            }
            (Some(_), Event::Deleted(_)) => {
                slides::forget(rows, id)?;
                rows.remove(NAME, id)?;
                rows.put(DELETED, [id.into(), at.into()])
            }
            (Some(deck), Event::Updated(change)) => {
                let mut now = deck.clone();
                updated(&mut now, &change)?;
                let changed = now != deck;
                touch(rows, now, changed, at)
            }
            (Some(deck), Event::SlideAdded(added)) => {
                let changed = slides::add(rows, id, &added, at)?;
                touch(rows, counted(deck, i64::from(changed))?, changed, at)
            }
            (Some(deck), Event::SlideUpdated(change)) => {
                let changed = slides::update(rows, id, &change, at)?;
                touch(rows, deck, changed, at)
            }
            (Some(deck), Event::SlideRemoved(gone)) => {
                let changed = slides::remove(rows, id, &gone.slide_id, at)?;
                touch(rows, counted(deck, -i64::from(changed))?, changed, at)
            }
            (Some(deck), Event::SlidesReordered(order)) => {
                let changed = slides::reorder(rows, id, order.slide_ids.as_slice())?;
                touch(rows, deck, changed, at)
            }
            // As the decider has it: what can't follow changes nothing.
            (Some(_), Event::Created(_))
            | (
                None,
                Event::Created(_)
                | Event::Updated(_)
                | Event::Deleted(_)
                | Event::SlideAdded(_)
                | Event::SlideUpdated(_)
                | Event::SlideRemoved(_)
                | Event::SlidesReordered(_),
            ) => Ok(()),
        }
    }
}

fn read(event: &Recorded) -> Result<Option<Event>, FoldError> {
    happened(event, Some(&DELETION))
}

fn created(id: &str, new: &Created, at: Timestamp) -> [Value; 9] {
    [
        id.into(),
        new.title.as_str().into(),
        new.description.as_ref().map(|text| text.as_str()).into(),
        new.author.as_str().into(),
        new.theme.as_str().into(),
        new.is_public.into(),
        0_i64.into(),
        at.into(),
        at.into(),
    ]
}

fn updated(deck: &mut Row, change: &Updated) -> Result<(), FoldError> {
    let Updated { presentation_id: _, title, description, author, theme, is_public } = change;
    if let Some(title) = title {
        deck.set("title", title.as_str())?;
    }
    edit(deck, "description", description)?;
    if let Some(author) = author {
        deck.set("author", author.as_str())?;
    }
    if let Some(theme) = theme {
        deck.set("theme", theme.as_str())?;
    }
    if let Some(is_public) = is_public {
        deck.set("is_public", *is_public)?;
    }
    Ok(())
}

fn edit<T: AsRef<str>>(row: &mut Row, column: &str, edit: &Edit<T>) -> Result<(), FoldError> {
    match edit {
        Edit::Keep => Ok(()),
        Edit::Clear => row.set(column, Value::Null),
        Edit::Set(text) => row.set(column, text.as_ref()),
    }
}

fn counted(mut deck: Row, more: i64) -> Result<Row, FoldError> {
    let before = deck.integer("slide_count").unwrap_or(0);
    deck.set("slide_count", before + more)?;
    Ok(deck)
}

/// Puts a presentation that changed, in itself or in its slides.
fn touch(rows: &mut Rows<'_>, mut deck: Row, changed: bool, at: Timestamp) -> Result<(), FoldError> {
    if !changed {
        return Ok(());
    }
    deck.set("updated_at", at)?;
    rows.put_row(deck)
}

#[cfg(test)]
mod tests;
