//! A content: a page with a title, a text in some format, and a slug that no other has.

use flightdeck_core::form::{self, Form};
use flightdeck_core::registry::between;
use flightdeck_core::{
    Answer, Decider, Edit, Invalid, Json, Mark, Question, SchemaNumber, Shape, StoredEvents, StoredType,
    StreamId, WordError, edit,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::words::{Author, Body, ContentId, Description, LABELS_MAX, Label, Labels, Slug, Title};

/// After how many events a snapshot of a content is kept: some are changed for years.
pub const SNAPSHOT_EVENTS: i64 = 100;
/// The shape of [`State`] in a snapshot. A new shape wants the next number.
pub const SNAPSHOT_SCHEMA: SchemaNumber = SchemaNumber::FIRST;

/// What happened to a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub enum Event {
    /// It came to be, as a draft.
    #[serde(rename = "ContentCreated")]
    Created(Created),
    /// Some of it changed.
    #[serde(rename = "ContentUpdated")]
    Updated(Updated),
    /// It is gone. Its history stays readable.
    #[serde(rename = "ContentDeleted")]
    Deleted(Deleted),
}

/// A content came to be, as a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Created {
    /// The content.
    pub content_id: ContentId,
    /// What it is called.
    pub title: Title,
    /// By what part of a path it is found. No two contents that are not deleted have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<Slug>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Its text.
    pub content: Body,
    /// What its text is written in.
    pub format: Format,
    /// Who wrote it.
    pub author: Author,
    /// By what it is found among others.
    pub tags: Labels,
}

/// Something of a content changed: what is absent is as it was, what is null is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Updated {
    /// The content.
    pub content_id: ContentId,
    /// What it is called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Title")]
    pub title: Option<Title>,
    /// By what part of a path it is found from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(with = "Option<Slug>")]
    pub slug: Edit<Slug>,
    /// What it is about from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(with = "Option<Description>")]
    pub description: Edit<Description>,
    /// Its text from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Body")]
    pub content: Option<Body>,
    /// What its text is written in from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Format")]
    pub format: Option<Format>,
    /// Who wrote it.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Author")]
    pub author: Option<Author>,
    /// By what it is found among others from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Labels")]
    pub tags: Option<Labels>,
    /// Who may see it from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Status")]
    pub status: Option<Status>,
}

/// A content is gone. Its history stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deleted {
    /// The content.
    pub content_id: ContentId,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Format {
    /// Markdown.
    #[default]
    Markdown,
    /// HTML.
    Html,
    /// reStructuredText.
    ReStructuredText,
}

/// Who may see a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Status {
    /// Only those who work on it.
    Draft,
    /// Everyone.
    Published,
    /// Nobody any more, but for those who look for it.
    Archived,
}

/// The first shape of `ContentCreated`: every content was Markdown, and none had a description or tags.
mod v1 {
    use super::{Author, Body, ContentId, Deserialize, JsonSchema, Slug, Title};

    /// A content came to be, as a draft, in Markdown.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct Created {
        /// The content.
        pub(super) content_id: ContentId,
        /// What it is called.
        pub(super) title: Title,
        /// By what part of a path it is found.
        #[serde(default)]
        pub(super) slug: Option<Slug>,
        /// Its text, in Markdown.
        pub(super) content: Body,
        /// Who wrote it.
        pub(super) author: Author,
    }
}

impl From<v1::Created> for Created {
    fn from(old: v1::Created) -> Self {
        let v1::Created { content_id, title, slug, content, author } = old;
        let (description, format, tags) = (None, Format::Markdown, Labels::default());
        Self { content_id, title, slug, description, content, format, author, tags }
    }
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[
        StoredType::new("ContentCreated").upcasts(&[between::<v1::Created, Created>]).personal(&["/author"]),
        StoredType::new("ContentUpdated").personal(&["/author"]),
        StoredType::new("ContentDeleted"),
    ];
}

/// Every shape that these events have or had.
pub const SHAPES: &[Shape] = &[
    Shape::of::<v1::Created>("ContentCreated", 1),
    Shape::of::<Created>("ContentCreated", 2),
    Shape::of::<Updated>("ContentUpdated", 1),
    Shape::of::<Deleted>("ContentDeleted", 1),
];

/// What can be asked of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Let there be one.
    Create(Create),
    /// Change some of it.
    Change(Change),
    /// Let everyone see it.
    Publish,
    /// Put it away.
    Archive,
    /// Delete it, for good.
    Delete,
}

/// Let there be a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// What it shall be.
    pub new: Created,
    /// Who has the slug that is asked for: told by whoever handles the command.
    pub slug_owner: Option<ContentId>,
}

/// Change some of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What shall be so from here on.
    pub to: Updated,
    /// Who has the slug that is asked for: told by whoever handles the command.
    pub slug_owner: Option<ContentId>,
}

impl Create {
    /// Reads what a client sends: `title`, `content`, and perhaps `slug`, `description`, `format` (Markdown), `author` (the
    /// caller) and `tags`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: ContentId, body: &Json, caller: Option<Author>) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let author = match caller {
            Some(caller) => Some(form.optional("author").unwrap_or(caller)),
            None => form.required("author"),
        };
        let (title, content) = (form.required("title"), form.required("content"));
        let (slug, description) = (form.optional("slug"), form.optional("description"));
        let format = form.optional("format").unwrap_or_default();
        let tags = form.optional_as("tags", labels).unwrap_or_default();
        let all = author.zip(title).zip(content).map(|((author, title), content)| Created {
            content_id: id,
            title,
            slug,
            description,
            content,
            format,
            author,
            tags,
        });
        Ok(Self { new: form.finish(all)?, slug_owner: None })
    }
}

impl Change {
    /// Reads the merge patch that a client sends: absent leaves, `null` clears.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: ContentId, patch: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(patch);
        let to = Updated {
            content_id: id,
            title: form.change("title"),
            slug: form.edit("slug"),
            description: form.edit("description"),
            content: form.change("content"),
            format: form.change("format"),
            author: form.change("author"),
            // A list that is cleared is one with nothing in it.
            tags: form.edit_as("tags", labels).or_cleared(),
            status: form.change("status"),
        };
        Ok(Self { to: form.finish(Some(to))?, slug_owner: None })
    }
}

/// Labels in the order in which they were given, each once.
fn labels(value: serde_json::Value) -> Result<Labels, Invalid> {
    let mut labels = form::list(value, LABELS_MAX, form::read::<Label>)?;
    let mut seen = std::collections::HashSet::new();
    labels.retain(|label| seen.insert(label.clone()));
    Labels::new(labels).map_err(|error| Invalid::field("", error.problem()))
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is one with that id, and it is not what is asked for.
    #[error("there is a content with that id already")]
    Exists,
    /// There is no such content, and there never was.
    #[error("there is no such content")]
    NeverWas,
    /// It was deleted.
    #[error("the content was deleted")]
    Deleted,
    /// Another content has the slug.
    #[error("the slug {slug} belongs to the content {by}")]
    SlugTaken {
        /// The slug.
        slug: Slug,
        /// Who has it.
        by: ContentId,
    },
    /// What was put away becomes a draft before everyone sees it again.
    #[error("an archived content becomes a draft before it is published")]
    Archived,
}

/// What is known of a content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// There never was one.
    #[default]
    Absent,
    /// There is one.
    Live(Page),
    /// There was one.
    Deleted,
}

/// A content that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What it is.
    pub now: Created,
    /// Who may see it.
    pub status: Status,
}

/// The decider of contents.
pub struct Content;

impl Decider for Content {
    const CATEGORY: &'static str = "content";
    const MARK_KEYS: &'static [&'static str] = &["slug"];
    type Command = Command;
    type Event = Event;
    type State = State;
    type Error = Error;

    fn initial() -> State {
        State::Absent
    }

    fn evolve(state: State, event: &Event) -> State {
        match (state, event) {
            (State::Absent, Event::Created(new)) => {
                State::Live(Page { now: new.clone(), status: Status::Draft })
            }
            (State::Live(page), Event::Updated(change)) => State::Live(page.with(change)),
            (State::Live(_) | State::Deleted, Event::Deleted(_)) => State::Deleted,
            // What can't follow changes nothing.
            (state @ (State::Live(_) | State::Deleted), Event::Created(_))
            | (state @ (State::Absent | State::Deleted), Event::Updated(_))
            | (state @ State::Absent, Event::Deleted(_)) => state,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Error> {
        match (state, command) {
            (State::Absent, Command::Create(Create { new, slug_owner })) => {
                free(new.slug.as_ref(), slug_owner, &new.content_id)?;
                Ok(vec![Event::Created(new)])
            }
            (State::Live(page), Command::Create(Create { new, .. })) if page.now == new => Ok(vec![]),
            (State::Live(_), Command::Create(_)) => Err(Error::Exists),
            (State::Live(page), Command::Change(Change { to, slug_owner })) => page.change(to, slug_owner),
            (State::Live(page), Command::Publish) => page.change(page.to(Status::Published), None),
            (State::Live(page), Command::Archive) => page.change(page.to(Status::Archived), None),
            (State::Live(page), Command::Delete) => {
                Ok(vec![Event::Deleted(Deleted { content_id: page.now.content_id.clone() })])
            }
            (State::Absent, Command::Change(_) | Command::Publish | Command::Archive | Command::Delete) => {
                Err(Error::NeverWas)
            }
            (
                State::Deleted,
                Command::Create(_)
                | Command::Change(_)
                | Command::Publish
                | Command::Archive
                | Command::Delete,
            ) => Err(Error::Deleted),
        }
    }

    fn stream(command: &Command) -> Option<Result<StreamId, WordError>> {
        match command {
            Command::Create(create) => Some(create.new.content_id.stream(Self::CATEGORY)),
            Command::Change(change) => Some(change.to.content_id.stream(Self::CATEGORY)),
            Command::Publish | Command::Archive | Command::Delete => None,
        }
    }

    fn marks(before: &State, event: &Event) -> Vec<Mark> {
        let had = before.slug().cloned();
        let slugs = match event {
            Event::Created(new) => [None, new.slug.clone()],
            Event::Updated(Updated { slug: Edit::Keep, .. }) => [None, None],
            Event::Updated(Updated { slug: Edit::Clear, .. }) | Event::Deleted(_) => [had, None],
            Event::Updated(Updated { slug: Edit::Set(slug), .. }) => [had, Some(slug.clone())],
        };
        slugs.iter().flatten().filter_map(|slug| mark(slug).ok()).collect()
    }

    fn asks(state: &State, command: &Command) -> Vec<Question> {
        let slug = match (state, command) {
            (State::Absent, Command::Create(create)) => create.new.slug.as_ref(),
            (State::Live(_), Command::Change(change)) => {
                change.to.slug.value().filter(|slug| state.slug() != Some(slug))
            }
            (State::Live(_) | State::Deleted, Command::Create(_))
            | (State::Absent | State::Deleted, Command::Change(_))
            | (_, Command::Publish | Command::Archive | Command::Delete) => None,
        };
        slug.and_then(|slug| mark(slug).ok()).map(Question::Last).into_iter().collect()
    }

    fn told(command: Command, answers: &[Answer<Event>]) -> Command {
        let owner = |slug: Option<&Slug>| {
            let (stream, last) = answers.first()?.last()?;
            ContentId::of(stream, Self::CATEGORY).filter(|_| last.leaves() == slug && slug.is_some())
        };
        match command {
            Command::Create(create) => {
                Command::Create(Create { slug_owner: owner(create.new.slug.as_ref()), ..create })
            }
            Command::Change(change) => {
                Command::Change(Change { slug_owner: owner(change.to.slug.value()), ..change })
            }
            same @ (Command::Publish | Command::Archive | Command::Delete) => same,
        }
    }
}

/// What the last event with a slug's mark says: the content has the slug that this leaves it with.
impl Event {
    fn leaves(&self) -> Option<&Slug> {
        match self {
            Self::Created(new) => new.slug.as_ref(),
            Self::Updated(change) => change.slug.value(),
            Self::Deleted(_) => None,
        }
    }
}

fn mark(slug: &Slug) -> Result<Mark, WordError> {
    Mark::open("slug", slug)
}

/// Refuses a slug that someone else has.
fn free(slug: Option<&Slug>, owner: Option<ContentId>, own: &ContentId) -> Result<(), Error> {
    match (slug, owner) {
        (Some(slug), Some(by)) if by != *own => Err(Error::SlugTaken { slug: slug.clone(), by }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

impl State {
    fn slug(&self) -> Option<&Slug> {
        match self {
            Self::Live(page) => page.now.slug.as_ref(),
            Self::Absent | Self::Deleted => None,
        }
    }
}

impl Page {
    fn with(mut self, change: &Updated) -> Self {
        let Updated { content_id: _, title, slug, description, content, format, author, tags, status } =
            change.clone();
        slug.make(&mut self.now.slug);
        description.make(&mut self.now.description);
        self.now.title = title.unwrap_or(self.now.title);
        self.now.content = content.unwrap_or(self.now.content);
        self.now.format = format.unwrap_or(self.now.format);
        self.now.author = author.unwrap_or(self.now.author);
        self.now.tags = tags.unwrap_or(self.now.tags);
        self.status = status.unwrap_or(self.status);
        self
    }

    /// What has to change for it to have that status.
    fn to(&self, status: Status) -> Updated {
        Updated { status: Some(status), ..Updated::nothing(self.now.content_id.clone()) }
    }

    /// What happens when it shall be so: only what is not so already.
    fn change(&self, to: Updated, slug_owner: Option<ContentId>) -> Result<Vec<Event>, Error> {
        let now = &self.now;
        let new = Updated {
            content_id: now.content_id.clone(),
            title: to.title.filter(|title| *title != now.title),
            slug: to.slug.unless(&now.slug),
            description: to.description.unless(&now.description),
            content: to.content.filter(|content| *content != now.content),
            format: to.format.filter(|format| *format != now.format),
            author: to.author.filter(|author| *author != now.author),
            tags: to.tags.filter(|tags| *tags != now.tags),
            status: to.status.filter(|status| *status != self.status),
        };
        match (self.status, new.status) {
            (Status::Archived, Some(Status::Published)) => return Err(Error::Archived),
            (Status::Draft | Status::Published, Some(_)) => {}
            (Status::Archived, Some(Status::Draft | Status::Archived)) => {}
            (Status::Draft | Status::Published | Status::Archived, None) => {}
        }
        free(new.slug.value(), slug_owner, &now.content_id)?;
        Ok(if new == Updated::nothing(now.content_id.clone()) { vec![] } else { vec![Event::Updated(new)] })
    }
}

impl Updated {
    /// An update that changes nothing: what others are made of.
    #[must_use]
    pub const fn nothing(content_id: ContentId) -> Self {
        Self {
            content_id,
            title: None,
            slug: Edit::Keep,
            description: Edit::Keep,
            content: None,
            format: None,
            author: None,
            tags: None,
            status: None,
        }
    }
}

#[cfg(test)]
mod tests;
