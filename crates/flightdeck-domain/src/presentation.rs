//! A presentation: its title, its theme, and slides in an order without holes.

mod slide;

use std::collections::BTreeSet;

use flightdeck_core::form::{self, Form};
use flightdeck_core::{
    Decider, Edit, Invalid, Json, SchemaNumber, Shape, StoredEvents, StoredType, StreamId, WordError, edit,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::slide::{AddSlide, ChangeContent, ChangeSlide, Kind, MoveSlide, Slide, SlideContent};
use crate::words::{AtMost, Author, Description, Notes, PresentationId, SlideId, SlideOrder, Theme, Title};
pub use crate::words::{DECK_JSON_BYTES_MAX, SLIDES_MAX};

/// Slides that may ever have been added to a presentation: those that were removed are remembered too.
pub const SLIDES_EVER_MAX: usize = 10_000;

/// After how many events a snapshot of a presentation is kept: it may be long, and is folded with every change of a slide.
pub const SNAPSHOT_EVENTS: i64 = 100;
/// The shape of [`State`] in a snapshot. A new shape wants the next number.
pub const SNAPSHOT_SCHEMA: SchemaNumber = SchemaNumber::FIRST;

/// What happened to a presentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub enum Event {
    /// It came to be, without slides.
    #[serde(rename = "PresentationCreated")]
    Created(Created),
    /// Something changed that is not about a slide.
    #[serde(rename = "PresentationUpdated")]
    Updated(Updated),
    /// It is gone, with its slides. Its history stays readable.
    #[serde(rename = "PresentationDeleted")]
    Deleted(Deleted),
    /// A slide was put into it, and those behind moved on.
    SlideAdded(SlideAdded),
    /// Some of a slide changed.
    SlideUpdated(SlideUpdated),
    /// A slide was taken out, and those behind moved up.
    SlideRemoved(SlideRemoved),
    /// The slides are in another order.
    SlidesReordered(SlidesReordered),
}

/// A presentation came to be, without slides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Created {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// What it is called.
    pub title: Title,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Who made it.
    pub author: Author,
    /// What it looks like.
    pub theme: Theme,
    /// Whether everyone may see it.
    pub is_public: bool,
}

/// Something of a presentation changed: what is absent is as it was, what is null is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Updated {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// What it is called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Title")]
    pub title: Option<Title>,
    /// What it is about from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(with = "Option<Description>")]
    pub description: Edit<Description>,
    /// Who made it.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Author")]
    pub author: Option<Author>,
    /// What it looks like from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Theme")]
    pub theme: Option<Theme>,
    /// Whether everyone may see it from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is_public: Option<bool>,
}

/// A presentation is gone, with its slides. Its history stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deleted {
    /// The presentation.
    pub presentation_id: PresentationId,
}

/// A slide was put into a presentation, and those behind moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlideAdded {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// The slide.
    pub slide_id: SlideId,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    /// What it shows.
    pub content: SlideContent,
    /// What the speaker wants to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Notes>,
    /// Its place: 1, 2, 3, without holes.
    pub order: SlideOrder,
}

/// Something of a slide changed: what is absent is as it was, what is null is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlideUpdated {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// The slide.
    pub slide_id: SlideId,
    /// What it is called from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(with = "Option<Title>")]
    pub title: Edit<Title>,
    /// What it shows from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SlideContent")]
    pub content: Option<SlideContent>,
    /// What the speaker wants to remember from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(with = "Option<Notes>")]
    pub notes: Edit<Notes>,
}

/// A slide was taken out of a presentation, and those behind moved up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlideRemoved {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// The slide.
    pub slide_id: SlideId,
}

/// The slides of a presentation are in another order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlidesReordered {
    /// The presentation.
    pub presentation_id: PresentationId,
    /// All slides, in their order from here on.
    pub slide_ids: AtMost<SlideId, SLIDES_MAX>,
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[
        StoredType::new("PresentationCreated").personal(&["/author"]),
        StoredType::new("PresentationUpdated").personal(&["/author"]),
        StoredType::new("PresentationDeleted"),
        StoredType::new("SlideAdded"),
        StoredType::new("SlideUpdated"),
        StoredType::new("SlideRemoved"),
        StoredType::new("SlidesReordered"),
    ];
}

/// Every shape that these events have or had.
pub const SHAPES: &[Shape] = &[
    Shape::of::<Created>("PresentationCreated", 1),
    Shape::of::<Updated>("PresentationUpdated", 1),
    Shape::of::<Deleted>("PresentationDeleted", 1),
    Shape::of::<SlideAdded>("SlideAdded", 1),
    Shape::of::<SlideUpdated>("SlideUpdated", 1),
    Shape::of::<SlideRemoved>("SlideRemoved", 1),
    Shape::of::<SlidesReordered>("SlidesReordered", 1),
];

/// What can be asked of a presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Let there be one.
    Create(Created),
    /// Change what is not about a slide.
    Change(Updated),
    /// Delete it with its slides, for good.
    Delete,
    /// Put a slide into it.
    AddSlide(AddSlide),
    /// Change some of a slide.
    ChangeSlide(ChangeSlide),
    /// Move a slide to another place; one that is behind the last is the last.
    MoveSlide(MoveSlide),
    /// Put all slides in that order.
    Reorder(Vec<SlideId>),
    /// Take a slide out, for good.
    RemoveSlide(SlideId),
}

impl Created {
    /// Reads what a client sends: `title`, and perhaps `description`, `author` (the caller), `theme` (`default`) and `isPublic` (no).
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: PresentationId, body: &Json, caller: Option<Author>) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let author = match caller {
            Some(caller) => Some(form.optional("author").unwrap_or(caller)),
            None => form.required("author"),
        };
        let (title, description) = (form.required("title"), form.optional("description"));
        let theme = form.optional("theme").or_else(|| Theme::new("default").ok());
        let is_public = form.optional("isPublic").unwrap_or(false);
        let all = author.zip(title).zip(theme).map(|((author, title), theme)| Self {
            presentation_id: id,
            title,
            description,
            author,
            theme,
            is_public,
        });
        form.finish(all)
    }
}

impl Updated {
    /// Reads the merge patch that a client sends: absent leaves, `null` clears.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: PresentationId, patch: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(patch);
        let to = Self {
            presentation_id: id,
            title: form.change("title"),
            description: form.edit("description"),
            author: form.change("author"),
            theme: form.change("theme"),
            is_public: form.change("isPublic"),
        };
        form.finish(Some(to))
    }

    /// An update that changes nothing: what others are made of.
    #[must_use]
    pub const fn nothing(presentation_id: PresentationId) -> Self {
        Self {
            presentation_id,
            title: None,
            description: Edit::Keep,
            author: None,
            theme: None,
            is_public: None,
        }
    }
}

impl Command {
    /// Reads the order of slides that a client sends: `slideIds`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read_order(body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let ids = |value| form::list(value, SLIDES_MAX, form::read::<SlideId>);
        let order = form.required_as("slideIds", ids);
        form.finish(order.map(Self::Reorder))
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is one with that id, and it is not what is asked for.
    #[error("there is a presentation with that id already")]
    Exists,
    /// There is no such presentation, and there never was.
    #[error("there is no such presentation")]
    NeverWas,
    /// It was deleted.
    #[error("the presentation was deleted")]
    Deleted,
    /// It has a slide with that id, and that is not what is asked for.
    #[error("the presentation has a slide {0} already")]
    SlideExists(SlideId),
    /// It has no such slide, and never had.
    #[error("the presentation has no slide {0}")]
    SlideNeverWas(SlideId),
    /// The slide was removed.
    #[error("the slide {0} was removed")]
    SlideRemoved(SlideId),
    /// It has as many slides as one may have, or they say as much as they may.
    #[error(
        "a presentation has {SLIDES_MAX} slides at most, {SLIDES_EVER_MAX} with those that were removed, and {DECK_JSON_BYTES_MAX} bytes in all"
    )]
    Full,
    /// What the slide would show is not whole, or has something too much.
    #[error("{0}")]
    Content(Invalid),
    /// An order names other slides than there are, or one twice.
    #[error("an order names every slide of the presentation once")]
    OtherSlides,
}

/// What is known of a presentation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// There never was one.
    #[default]
    Absent,
    /// There is one.
    Live(Deck),
    /// There was one.
    Deleted,
}

/// A presentation that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deck {
    /// What it is, but for its slides.
    pub now: Created,
    /// Its slides, in their order.
    pub slides: Vec<Slide>,
    /// The slides that were removed: their ids are not used again.
    pub removed: BTreeSet<SlideId>,
}

/// The decider of presentations.
pub struct Presentation;

impl Decider for Presentation {
    const CATEGORY: &'static str = "presentation";
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
                State::Live(Deck { now: new.clone(), slides: Vec::new(), removed: BTreeSet::new() })
            }
            (State::Live(deck), Event::Updated(change)) => State::Live(deck.with(change)),
            (State::Live(deck), Event::SlideAdded(added)) => State::Live(deck.with_slide(added)),
            (State::Live(deck), Event::SlideUpdated(change)) => State::Live(deck.with_slide_as(change)),
            (State::Live(deck), Event::SlideRemoved(removed)) => State::Live(deck.without(&removed.slide_id)),
            (State::Live(deck), Event::SlidesReordered(order)) => {
                State::Live(deck.in_order(order.slide_ids.as_slice()))
            }
            (State::Live(_) | State::Deleted, Event::Deleted(_)) => State::Deleted,
            // What can't follow changes nothing.
            (state @ (State::Live(_) | State::Deleted), Event::Created(_))
            | (state @ State::Absent, Event::Deleted(_))
            | (
                state @ (State::Absent | State::Deleted),
                Event::Updated(_)
                | Event::SlideAdded(_)
                | Event::SlideUpdated(_)
                | Event::SlideRemoved(_)
                | Event::SlidesReordered(_),
            ) => state,
        }
    }

    fn stream(command: &Command) -> Option<Result<StreamId, WordError>> {
        match command {
            Command::Create(new) => Some(new.presentation_id.stream(Self::CATEGORY)),
            Command::Change(to) => Some(to.presentation_id.stream(Self::CATEGORY)),
            Command::Delete
            | Command::AddSlide(_)
            | Command::ChangeSlide(_)
            | Command::MoveSlide(_)
            | Command::Reorder(_)
            | Command::RemoveSlide(_) => None,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Error> {
        match (state, command) {
            (State::Absent, Command::Create(new)) => Ok(vec![Event::Created(new)]),
            (State::Live(deck), Command::Create(new)) if deck.now == new => Ok(vec![]),
            (State::Live(_), Command::Create(_)) => Err(Error::Exists),
            (State::Live(deck), Command::Change(to)) => Ok(deck.change(to)),
            (State::Live(deck), Command::Delete) => {
                Ok(vec![Event::Deleted(Deleted { presentation_id: deck.id() })])
            }
            (State::Live(deck), Command::AddSlide(add)) => deck.add(add),
            (State::Live(deck), Command::ChangeSlide(to)) => deck.change_slide(to),
            (State::Live(deck), Command::MoveSlide(to)) => deck.move_slide(&to),
            (State::Live(deck), Command::Reorder(order)) => deck.reorder(order),
            (State::Live(deck), Command::RemoveSlide(slide_id)) => {
                deck.find(&slide_id)?;
                Ok(vec![Event::SlideRemoved(SlideRemoved { presentation_id: deck.id(), slide_id })])
            }
            (
                State::Absent,
                Command::Change(_)
                | Command::Delete
                | Command::AddSlide(_)
                | Command::ChangeSlide(_)
                | Command::MoveSlide(_)
                | Command::Reorder(_)
                | Command::RemoveSlide(_),
            ) => Err(Error::NeverWas),
            (
                State::Deleted,
                Command::Create(_)
                | Command::Change(_)
                | Command::Delete
                | Command::AddSlide(_)
                | Command::ChangeSlide(_)
                | Command::MoveSlide(_)
                | Command::Reorder(_)
                | Command::RemoveSlide(_),
            ) => Err(Error::Deleted),
        }
    }
}

/// How a presentation takes its events in.
impl Deck {
    fn with(mut self, change: &Updated) -> Self {
        let Updated { presentation_id: _, title, description, author, theme, is_public } = change.clone();
        description.make(&mut self.now.description);
        self.now.title = title.unwrap_or(self.now.title);
        self.now.author = author.unwrap_or(self.now.author);
        self.now.theme = theme.unwrap_or(self.now.theme);
        self.now.is_public = is_public.unwrap_or(self.now.is_public);
        self
    }

    fn with_slide(mut self, added: &SlideAdded) -> Self {
        let SlideAdded { presentation_id: _, slide_id: id, title, content, notes, order } = added.clone();
        // One that is there already, or was, is added by no command: it must not be there twice.
        if self.find(&id) == Err(Error::SlideNeverWas(id.clone())) {
            let place = (order.get() - 1).min(self.slides.len());
            self.slides.insert(place, Slide { id, title, content, notes });
        }
        self
    }

    fn with_slide_as(mut self, change: &SlideUpdated) -> Self {
        if let Some(slide) = self.slides.iter_mut().find(|slide| slide.id == change.slide_id) {
            *slide = slide.clone().with(change);
        }
        self
    }

    fn without(mut self, id: &SlideId) -> Self {
        if let Ok(place) = self.find(id) {
            self.slides.remove(place);
            self.removed.insert(id.clone());
        }
        self
    }

    /// The named slides first, in their order; whatever the order does not name follows as it was.
    fn in_order(mut self, order: &[SlideId]) -> Self {
        let places: std::collections::HashMap<&SlideId, usize> =
            order.iter().enumerate().map(|(place, id)| (id, place)).collect();
        self.slides.sort_by_key(|slide| places.get(&slide.id).copied().unwrap_or(usize::MAX));
        self
    }
}

/// How a presentation answers commands.
impl Deck {
    fn id(&self) -> PresentationId {
        self.now.presentation_id.clone()
    }

    /// The place of a slide, from 0 on.
    fn find(&self, id: &SlideId) -> Result<usize, Error> {
        match self.slides.iter().position(|slide| slide.id == *id) {
            Some(place) => Ok(place),
            None if self.removed.contains(id) => Err(Error::SlideRemoved(id.clone())),
            None => Err(Error::SlideNeverWas(id.clone())),
        }
    }

    /// What happens when it shall be so: only what is not so already.
    fn change(&self, to: Updated) -> Vec<Event> {
        let now = &self.now;
        let new = Updated {
            presentation_id: self.id(),
            title: to.title.filter(|title| *title != now.title),
            description: to.description.unless(&now.description),
            author: to.author.filter(|author| *author != now.author),
            theme: to.theme.filter(|theme| *theme != now.theme),
            is_public: to.is_public.filter(|is_public| *is_public != now.is_public),
        };
        if new == Updated::nothing(self.id()) { vec![] } else { vec![Event::Updated(new)] }
    }

    fn add(&self, AddSlide { slide, order }: AddSlide) -> Result<Vec<Event>, Error> {
        match self.find(&slide.id) {
            // The same once more.
            Ok(place) if self.slides.get(place) == Some(&slide) => {
                let there = order.is_none_or(|order| order.clamp(1, self.slides.len()) == place + 1);
                return if there { Ok(vec![]) } else { Err(Error::SlideExists(slide.id)) };
            }
            Ok(_) => return Err(Error::SlideExists(slide.id)),
            Err(Error::SlideNeverWas(_)) => {}
            Err(other) => return Err(other),
        }
        let too_many =
            self.slides.len() >= SLIDES_MAX || self.slides.len() + self.removed.len() >= SLIDES_EVER_MAX;
        if too_many || self.json_bytes() + slide.json_bytes() > DECK_JSON_BYTES_MAX {
            return Err(Error::Full);
        }
        let last = self.slides.len() + 1;
        let Slide { id: slide_id, title, content, notes } = slide;
        let order = SlideOrder::within(order.unwrap_or(last), last);
        let presentation_id = self.id();
        Ok(vec![Event::SlideAdded(SlideAdded { presentation_id, slide_id, title, content, notes, order })])
    }

    fn change_slide(&self, to: ChangeSlide) -> Result<Vec<Event>, Error> {
        let place = self.find(&to.slide_id)?;
        let Some(now) = self.slides.get(place) else { return Ok(vec![]) };
        let content = to.content.as_ref().map(|change| now.content.with(change)).transpose();
        let new = SlideUpdated {
            presentation_id: self.id(),
            title: to.title.unless(&now.title),
            content: content.map_err(Error::Content)?.filter(|content| *content != now.content),
            notes: to.notes.unless(&now.notes),
            slide_id: to.slide_id,
        };
        let (before, after) = (now.json_bytes(), now.clone().with(&new).json_bytes());
        if after > before && self.json_bytes() - before + after > DECK_JSON_BYTES_MAX {
            return Err(Error::Full);
        }
        let nothing = new.title.is_keep() && new.content.is_none() && new.notes.is_keep();
        Ok(if nothing { vec![] } else { vec![Event::SlideUpdated(new)] })
    }

    fn json_bytes(&self) -> usize {
        self.slides.iter().map(Slide::json_bytes).sum()
    }

    fn move_slide(&self, to: &MoveSlide) -> Result<Vec<Event>, Error> {
        let mut order: Vec<SlideId> = self.slides.iter().map(|slide| slide.id.clone()).collect();
        let id = order.remove(self.find(&to.slide_id)?);
        order.insert(to.order.saturating_sub(1).min(order.len()), id);
        self.reorder(order)
    }

    fn reorder(&self, slide_ids: Vec<SlideId>) -> Result<Vec<Event>, Error> {
        if self.slides.iter().map(|slide| &slide.id).eq(&slide_ids) {
            return Ok(vec![]);
        }
        let named: BTreeSet<&SlideId> = slide_ids.iter().collect();
        let there: BTreeSet<&SlideId> = self.slides.iter().map(|slide| &slide.id).collect();
        if named != there || slide_ids.len() != self.slides.len() {
            return Err(Error::OtherSlides);
        }
        let Ok(slide_ids) = AtMost::new(slide_ids) else { return Err(Error::OtherSlides) };
        Ok(vec![Event::SlidesReordered(SlidesReordered { presentation_id: self.id(), slide_ids })])
    }
}

#[cfg(test)]
mod tests;
