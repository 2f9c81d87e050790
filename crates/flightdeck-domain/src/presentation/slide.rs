//! The slides of a presentation: what one is and shows, and what can be asked of it.

use flightdeck_core::form::{self, Form};
use flightdeck_core::{Edit, Invalid, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SlideUpdated;
use crate::words::{Alternative, ImageUrl, Language, Notes, SlideId, SlideText, Title, json_bytes, whole};

/// A slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slide {
    /// Its id.
    pub id: SlideId,
    /// What it is called.
    pub title: Option<Title>,
    /// What it shows.
    pub content: SlideContent,
    /// What the speaker wants to remember.
    pub notes: Option<Notes>,
}

/// What a slide shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub enum SlideContent {
    /// A text as it is.
    Text {
        /// The text.
        text: SlideText,
    },
    /// A text in Markdown.
    Markdown {
        /// The text.
        text: SlideText,
    },
    /// Code.
    Code {
        /// The language that it is written in.
        language: Language,
        /// The code.
        text: SlideText,
    },
    /// An image.
    Image {
        /// Where it lies.
        url: ImageUrl,
        /// What it shows, for those who can't see it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alt: Option<Alternative>,
    },
}

/// Put a slide into a presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddSlide {
    /// The slide.
    pub slide: Slide,
    /// Its place, from 1 on. Without one it comes last, as it does with one that is behind the last.
    pub order: Option<usize>,
}

/// Change some of a slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSlide {
    /// The slide.
    pub slide_id: SlideId,
    /// What it is called from here on.
    pub title: Edit<Title>,
    /// What changes about what it shows.
    pub content: Option<ChangeContent>,
    /// What the speaker wants to remember from here on.
    pub notes: Edit<Notes>,
}

/// Change some of what a slide shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeContent {
    /// The kind, if it shall be another one.
    pub kind: Option<Kind>,
    /// The text, for all kinds but images.
    pub text: Edit<SlideText>,
    /// The language, for code.
    pub language: Edit<Language>,
    /// Where the image lies.
    pub url: Edit<ImageUrl>,
    /// What the image shows.
    pub alt: Edit<Alternative>,
}

/// A kind of [`SlideContent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A text as it is.
    Text,
    /// A text in Markdown.
    Markdown,
    /// Code.
    Code,
    /// An image.
    Image,
}

/// Move a slide to another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveSlide {
    /// The slide.
    pub slide_id: SlideId,
    /// Its place, from 1 on.
    pub order: usize,
}

impl AddSlide {
    /// Reads what a client sends: `content`, and perhaps `title`, `notes` and `order` (the last).
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: SlideId, body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let (title, notes) = (form.optional("title"), form.optional("notes"));
        let content = form.required_as("content", SlideContent::read);
        let order = form.optional_as("order", place);
        let slide = form.finish(content.map(|content| Slide { id, title, content, notes }))?;
        Ok(Self { slide, order })
    }
}

impl ChangeSlide {
    /// Reads the merge patch that a client sends: absent leaves, `null` clears, and so within `content`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(slide_id: SlideId, patch: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(patch);
        let (title, notes) = (form.edit("title"), form.edit("notes"));
        let content = form.change_as("content", |value| {
            let mut form = Form::of_value(value);
            let change = ChangeContent {
                kind: form.change("type"),
                text: form.edit("text"),
                language: form.edit("language"),
                url: form.edit("url"),
                alt: form.edit("alt"),
            };
            form.finish(Some(change))
        });
        form.finish(Some(Self { slide_id, title, content, notes }))
    }
}

impl MoveSlide {
    /// Reads what a client sends: `order`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(slide_id: SlideId, body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let order = form.required_as("order", place);
        form.finish(order.map(|order| Self { slide_id, order }))
    }
}

impl SlideContent {
    fn read(value: serde_json::Value) -> Result<Self, Invalid> {
        let mut form = Form::of_value(value);
        let content = match form.required("type") {
            Some(Kind::Text) => form.required("text").map(|text| Self::Text { text }),
            Some(Kind::Markdown) => form.required("text").map(|text| Self::Markdown { text }),
            Some(Kind::Code) => {
                let (language, text) = (form.required("language"), form.required("text"));
                language.zip(text).map(|(language, text)| Self::Code { language, text })
            }
            Some(Kind::Image) => {
                let (url, alt) = (form.required("url"), form.optional("alt"));
                url.map(|url| Self::Image { url, alt })
            }
            // Which fields it would have, nobody can tell.
            None => return form.give_up(),
        };
        form.finish(content)
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Text { .. } => Kind::Text,
            Self::Markdown { .. } => Kind::Markdown,
            Self::Code { .. } => Kind::Code,
            Self::Image { .. } => Kind::Image,
        }
    }

    /// What is shown after a change. What the change does not say stays, as far as the kind has it.
    pub(super) fn with(&self, change: &ChangeContent) -> Result<Self, Invalid> {
        let kind = change.kind.unwrap_or_else(|| self.kind());
        let (is_image, is_code) = (kind == Kind::Image, kind == Kind::Code);
        let (text, language, url, alt) = match self {
            Self::Text { text } | Self::Markdown { text } => (Some(text), None, None, None),
            Self::Code { language, text } => (Some(text), Some(language), None, None),
            Self::Image { url, alt } => (None, None, Some(url), alt.as_ref()),
        };
        let mut wrong = Invalid::default();
        for (name, is_surplus) in [
            ("text", is_image && change.text.value().is_some()),
            ("language", !is_code && change.language.value().is_some()),
            ("url", !is_image && change.url.value().is_some()),
            ("alt", !is_image && change.alt.value().is_some()),
        ] {
            if is_surplus {
                wrong.extend(Invalid::field(format!("content.{name}"), "is not a field here"));
            }
        }
        let (mut text, mut language) = (text.cloned(), language.cloned());
        let (mut url, mut alt) = (url.cloned(), alt.cloned());
        change.text.make(&mut text);
        change.language.make(&mut language);
        change.url.make(&mut url);
        change.alt.make(&mut alt);
        for (name, is_missing) in [
            ("text", !is_image && text.is_none()),
            ("language", is_code && language.is_none()),
            ("url", is_image && url.is_none()),
        ] {
            if is_missing {
                wrong.missing.push(format!("content.{name}"));
            }
        }
        wrong.or(match kind {
            Kind::Text => text.map(|text| Self::Text { text }),
            Kind::Markdown => text.map(|text| Self::Markdown { text }),
            Kind::Code => language.zip(text).map(|(language, text)| Self::Code { language, text }),
            Kind::Image => url.map(|url| Self::Image { url, alt }),
        })
    }

    /// How many bytes it takes in JSON, about: never less.
    fn json_bytes(&self) -> usize {
        const AROUND: usize = 64;
        AROUND
            + match self {
                Self::Text { text } | Self::Markdown { text } => json_bytes(text.as_str()),
                Self::Code { language, text } => json_bytes(language.as_str()) + json_bytes(text.as_str()),
                Self::Image { url, alt } => {
                    json_bytes(url.as_str()) + alt.as_ref().map_or(4, |alt| json_bytes(alt.as_str()))
                }
            }
    }
}

fn place(value: serde_json::Value) -> Result<usize, Invalid> {
    match whole(form::read(value)?) {
        None | Some(0) => Err(Invalid::field("", "is not a whole number from 1 on")),
        Some(order) => Ok(order),
    }
}

impl Slide {
    pub(super) fn with(mut self, change: &SlideUpdated) -> Self {
        let SlideUpdated { presentation_id: _, slide_id: _, title, content, notes } = change;
        title.make(&mut self.title);
        notes.make(&mut self.notes);
        self.content = content.clone().unwrap_or(self.content);
        self
    }

    /// How many bytes it takes in JSON, about: never less.
    pub(super) fn json_bytes(&self) -> usize {
        const AROUND: usize = 64;
        let optional = |text: Option<&str>| text.map_or(4, json_bytes);
        AROUND
            + json_bytes(self.id.as_str())
            + optional(self.title.as_ref().map(Title::as_str))
            + self.content.json_bytes()
            + optional(self.notes.as_ref().map(Notes::as_str))
    }
}
