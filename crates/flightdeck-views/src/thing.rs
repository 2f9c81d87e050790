//! A thing that has a history, and its face: what it is like at some moment, field by field.

use flightdeck_core::{Decider, StoredEvents};
use flightdeck_domain::content::{self, Content};
use flightdeck_domain::presentation::{self, Deck, Presentation, Slide, SlideContent};
use flightdeck_domain::user::{self, User};
use serde_json::{Value, json};

/// An aggregate whose things have a history that can be read: it says what one is like in each state.
///
/// The state is the decider's own, so that a history knows no other truth than commands do.
pub trait Thing: Decider<Event: StoredEvents> {
    /// What the thing is like; `None` while it is not there.
    fn face(state: &Self::State) -> Option<Face>;
}

/// What a thing is like, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Face {
    /// Its fields. A field that has nothing in it is there with nothing; one that it does not have is not there.
    pub fields: Vec<(&'static str, Facet)>,
    /// Its slides, in their order, if it is a presentation.
    pub slides: Vec<SlideFace>,
}

/// What a slide is like, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlideFace {
    /// The slide.
    pub id: String,
    /// Its fields.
    pub fields: Vec<(&'static str, Facet)>,
}

/// What is in a field, by how it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facet {
    /// It is the same or another.
    Plain(Value),
    /// Prose, or nothing: compared word by word.
    Text(Option<String>),
    /// Texts in an order: compared item by item.
    List(Vec<String>),
}

impl Facet {
    fn text<T: AsRef<str>>(text: Option<&T>) -> Self {
        Self::Text(text.map(|text| text.as_ref().to_owned()))
    }

    /// What is in the field, as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) => json!(text),
            Self::List(items) => json!(items),
        }
    }
}

impl Thing for Content {
    fn face(state: &content::State) -> Option<Face> {
        let content::State::Live(page) = state else { return None };
        let now = &page.now;
        let tags = now.tags.as_slice().iter().map(ToString::to_string).collect();
        let fields = vec![
            ("title", Facet::text(Some(&now.title))),
            ("slug", Facet::Plain(json!(now.slug))),
            ("description", Facet::text(now.description.as_ref())),
            ("content", Facet::text(Some(&now.content))),
            ("format", Facet::Plain(json!(now.format))),
            ("status", Facet::Plain(json!(page.status))),
            ("author", Facet::Plain(json!(now.author))),
            ("tags", Facet::List(tags)),
        ];
        Some(Face { fields, slides: Vec::new() })
    }
}

impl Thing for Presentation {
    fn face(state: &presentation::State) -> Option<Face> {
        let presentation::State::Live(Deck { now, slides, removed: _ }) = state else { return None };
        let fields = vec![
            ("title", Facet::text(Some(&now.title))),
            ("description", Facet::text(now.description.as_ref())),
            ("author", Facet::Plain(json!(now.author))),
            ("theme", Facet::Plain(json!(now.theme))),
            ("isPublic", Facet::Plain(json!(now.is_public))),
            ("slideIds", Facet::List(slides.iter().map(|slide| slide.id.to_string()).collect())),
        ];
        Some(Face { fields, slides: slides.iter().map(slide).collect() })
    }
}

/// What a slide shows is told field by field too: which ones there are depends on its kind.
fn slide(slide: &Slide) -> SlideFace {
    let Slide { id, title, content, notes } = slide;
    let mut fields = vec![("title", Facet::text(title.as_ref()))];
    let kind = |kind: &str| ("content.type", Facet::Plain(json!(kind)));
    match content {
        SlideContent::Text { text } => {
            fields.extend([kind("text"), ("content.text", Facet::text(Some(text)))]);
        }
        SlideContent::Markdown { text } => {
            fields.extend([kind("markdown"), ("content.text", Facet::text(Some(text)))]);
        }
        SlideContent::Code { language, text } => fields.extend([
            kind("code"),
            ("content.language", Facet::Plain(json!(language))),
            ("content.text", Facet::text(Some(text))),
        ]),
        SlideContent::Image { url, alt } => fields.extend([
            kind("image"),
            ("content.url", Facet::Plain(json!(url))),
            ("content.alt", Facet::text(alt.as_ref())),
        ]),
    }
    fields.push(("notes", Facet::text(notes.as_ref())));
    SlideFace { id: id.to_string(), fields }
}

impl Thing for User {
    fn face(state: &user::State) -> Option<Face> {
        let user::State::Registered(person) = state else { return None };
        let fields = vec![
            ("email", Facet::Plain(json!(person.now.email))),
            ("displayName", Facet::Plain(json!(person.now.display_name))),
            ("role", Facet::Plain(json!(person.role))),
            ("lastLoginAt", Facet::Plain(json!(person.last_login))),
        ];
        Some(Face { fields, slides: Vec::new() })
    }
}
