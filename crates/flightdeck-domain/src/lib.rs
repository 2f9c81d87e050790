//! The domain of FlightDeck: contents, presentations and users, and the tokens by which it is known who asks.
//!
//! Each aggregate is one file, from top to bottom: what happened to it ([`content::Event`]), what can be asked of it
//! ([`content::Command`]), why that is refused ([`content::Error`]), what is known of it ([`content::State`]), and the decider
//! over these ([`content::Content`]). Open [`content`] first; the others are built alike.
//!
//! Events are stored for ever: their names, fields and shapes are in `EVENTS.md` and `schemas/`, made from the types here. A
//! new shape gets a new number, and an upcast from the one before.
//!
//! What is not here: no store, no clock, no ids of its own making. Times and ids come in with the commands; whoever handles
//! them (`Handler` in `flightdeck-store`) asks the log what a rule across streams has to know, such as who has a slug.
//!
//! ```
//! use flightdeck_core::{Json, kit::given};
//! use flightdeck_domain::ContentId;
//! use flightdeck_domain::content::{Command, Content, Create, Error, Event};
//!
//! // All that is wrong with what came in is told at once.
//! let id = ContentId::new("42")?;
//! let body = Json::new("{\"title\":\"\",\"slug\":\"Hello World\",\"colour\":\"red\"}", 1024)?;
//! let wrong = Create::read(id.clone(), &body, None).unwrap_err();
//! assert_eq!(wrong.missing, ["author", "content"]);
//! assert_eq!(wrong.invalid.keys().collect::<Vec<_>>(), ["colour", "slug", "title"]);
//!
//! // A decider answers a command with what happens.
//! let body = Json::new("{\"title\":\"Hello\",\"content\":\"# Hello\",\"author\":\"Ada\",\"slug\":\"hello\"}", 1024)?;
//! let create = Create::read(id.clone(), &body, None)?;
//! let created = Event::Created(create.new.clone());
//! given::<Content>([]).when(Command::Create(create.clone())).then([created.clone()]);
//! // The same once more is nothing new; someone else's slug can't be had.
//! given::<Content>([created]).when(Command::Create(create.clone())).then([]);
//! let (slug, by) = (create.new.slug.clone().unwrap(), ContentId::new("7")?);
//! let late = Create { slug_owner: Some(by.clone()), ..create };
//! given::<Content>([]).when(Command::Create(late)).then_refused(Error::SlugTaken { slug, by });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod content;
pub mod presentation;
pub mod token;
pub mod user;
pub mod words;

pub use crate::token::TokenId;
pub use crate::words::{ContentId, PresentationId, SlideId, UserId};

use flightdeck_core::Shape;

/// Every shape that an event of these aggregates has or had.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    [content::SHAPES, presentation::SHAPES, token::SHAPES, user::SHAPES].into_iter().flatten()
}
