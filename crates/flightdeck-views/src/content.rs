//! The view `content`: one row for each content that is there, as it is now.
//!
//! What the decider remembers of what is gone is kept as well, in `content_deleted`, for an id is not used again. So the view follows any
//! history as the decider does, also one that no command would have made.

use flightdeck_core::{Edit, StoredEvents};
use flightdeck_domain::content::{Content, Created, Event, Format, Status, Updated};
use flightdeck_domain::words::Labels;
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};

use crate::subject::subject;

/// The name of the view, and of its table of contents.
pub const NAME: &str = "content";
/// The table of the contents that were deleted.
pub const DELETED: &str = "content_deleted";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

/// The projection of the view `content`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContentView;

impl Projection for ContentView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        Reads::events_of::<Content>()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("id", Kind::Text)
                .column("title", Kind::Text)
                .nullable("slug", Kind::Text)
                .nullable("description", Kind::Text)
                .column("content", Kind::Text)
                .column("format", Kind::Text)
                .column("status", Kind::Text)
                .column("author", Kind::Text)
                .column("created_at", Kind::Time)
                .column("updated_at", Kind::Time)
                .column("tags", Kind::List)
                // Unique by the commands' own rule; a view never refuses what has happened.
                .index(&["slug"])
                .index(&["status", "updated_at"])
                .index(&["author", "updated_at"])
                .index(&["updated_at"])
                .search(&["title", "description", "content", "tags"])
                .of_stream("content", "id"),
            Table::named(DELETED)
                .key("id", Kind::Text)
                .column("deleted_at", Kind::Time)
                .of_stream("content", "id"),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let id = subject(event)?;
        Ok(match event.event_type.as_str() {
            "ContentUpdated" => vec![Key::of(NAME, id)],
            _ => vec![Key::of(NAME, id), Key::of(DELETED, id)],
        })
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let (id, at) = (subject(event)?, event.recorded_at);
        let Some(happened) = Event::from_stored(event.event_type.as_str(), event.schema, event.data_bytes())?
        else {
            return Ok(());
        };
        match (rows.get(NAME, id).is_some(), happened) {
            (false, Event::Created(new)) if rows.get(DELETED, id).is_none() => {
                rows.put(NAME, created(id, &new, at))
            }
            (true, Event::Updated(change)) => rows.change(NAME, id, |row| {
                updated(row, &change)?;
                row.set("updated_at", at)
            }),
            (true, Event::Deleted(_)) => {
                rows.remove(NAME, id)?;
                rows.put(DELETED, [id.into(), at.into()])
            }
            // As the decider has it: what can't follow changes nothing.
            (true, Event::Created(_))
            | (false, Event::Created(_) | Event::Updated(_) | Event::Deleted(_)) => Ok(()),
        }
    }
}

fn created(id: &str, new: &Created, at: flightdeck_core::Timestamp) -> [Value; 11] {
    [
        id.into(),
        new.title.as_str().into(),
        new.slug.as_ref().map(|slug| slug.as_str()).into(),
        new.description.as_ref().map(|text| text.as_str()).into(),
        new.content.as_str().into(),
        format(new.format).into(),
        status(Status::Draft).into(),
        new.author.as_str().into(),
        at.into(),
        at.into(),
        labels(&new.tags),
    ]
}

fn updated(row: &mut Row, change: &Updated) -> Result<(), FoldError> {
    let Updated { content_id: _, title, slug, description, content, format: into, author, tags, status: to } =
        change;
    if let Some(title) = title {
        row.set("title", title.as_str())?;
    }
    match slug {
        Edit::Keep => {}
        Edit::Clear => row.set("slug", Value::Null)?,
        Edit::Set(slug) => row.set("slug", slug.as_str())?,
    }
    match description {
        Edit::Keep => {}
        Edit::Clear => row.set("description", Value::Null)?,
        Edit::Set(description) => row.set("description", description.as_str())?,
    }
    if let Some(content) = content {
        row.set("content", content.as_str())?;
    }
    if let Some(into) = into {
        row.set("format", format(*into))?;
    }
    if let Some(author) = author {
        row.set("author", author.as_str())?;
    }
    if let Some(tags) = tags {
        row.set("tags", labels(tags))?;
    }
    if let Some(to) = to {
        row.set("status", status(*to))?;
    }
    Ok(())
}

fn labels(labels: &Labels) -> Value {
    Value::list(labels.as_slice().iter().map(|label| label.as_str()))
}

/// As it is stored in events, too.
const fn format(format: Format) -> &'static str {
    match format {
        Format::Markdown => "Markdown",
        Format::Html => "Html",
        Format::ReStructuredText => "ReStructuredText",
    }
}

/// As it is stored in events, too.
const fn status(status: Status) -> &'static str {
    match status {
        Status::Draft => "Draft",
        Status::Published => "Published",
        Status::Archived => "Archived",
    }
}

#[cfg(test)]
mod tests;
