//! The words of FlightDeck.
//!
//! Every other crate speaks in these types. They are small, cheap to clone, and can't hold
//! anything illegal: a [`StreamId`] that exists is a legal stream name, a [`Json`] that exists
//! was checked, a [`Position`] is never negative. Whoever takes one needs no check of its own.
//!
//! What is here:
//!
//! - where something is: [`StreamId`], [`Category`], [`Version`], [`Position`], [`Epoch`], [`Cursor`];
//! - what an event is made of: [`EventId`], [`EventType`], [`SchemaNumber`], [`Tag`], [`Tags`],
//!   [`Json`], [`Metadata`];
//! - what an aggregate is: [`Decider`], with [`Mark`]s for rules that cross streams, and how its events are stored:
//!   [`StoredEvents`], [`Registry`];
//! - what a command brings: [`Form`] reads its fields and says all that is [`Invalid`] at once, [`Edit`] tells absent from `null`;
//! - how a decider is tried: [`kit`], with given, when and then;
//! - what comes in from outside: [`Clock`], [`Ids`], [`Timestamp`];
//! - how much of anything is allowed: [`limits`].
//!
//! With the feature `schema` there are also words for what people write ([`prose_word`], [`id_word`]) and the [`Shape`]s of
//! stored events, which describe themselves as JSON Schema.
//!
//! What is not here: nothing in this crate does IO, reads a clock, rolls dice or is async. Time
//! and ids come in as arguments, so whatever is built on these words can be tested with plain values.
//!
//! Read [`place`] first (versions, positions, cursors), then [`decider`].
//!
//! ```
//! use flightdeck_core::{Cursor, StreamId, Version};
//!
//! let stream = StreamId::new("content-42")?;
//! assert_eq!(stream.category().as_str(), "content");
//!
//! let cursor: Cursor = "k3f9-1024".parse()?;
//! assert_eq!(cursor.position().get(), 1024);
//!
//! assert!(Version::new(0).is_err(), "versions begin at 1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod decider;
pub mod edit;
pub mod event;
pub mod form;
pub mod json;
pub mod kit;
pub mod limits;
pub mod mark;
pub mod metadata;
pub mod place;
#[cfg(feature = "schema")]
pub mod prose;
pub mod registry;
#[cfg(feature = "schema")]
pub mod shape;
pub mod stream;
pub mod tag;
pub mod time;

mod words;

pub use crate::decider::Decider;
pub use crate::edit::Edit;
pub use crate::event::{EventId, EventType, KeyId, SchemaNumber};
pub use crate::form::{Form, Invalid};
pub use crate::json::{Json, JsonError};
pub use crate::mark::{Answer, Mark, Question};
pub use crate::metadata::{Further, Metadata, Reference};
pub use crate::place::{Cursor, Epoch, Position, Version};
pub use crate::registry::{NotYours, Registry, StoredEvents, StoredType, Upcast};
pub use crate::stream::{Category, StreamId};
pub use crate::tag::{Tag, Tags};
pub use crate::time::{Clock, Ids, Timestamp};
pub use crate::words::WordError;

/// For [`text_word`]: words of other crates need not name it themselves.
#[doc(hidden)]
pub use serde;

#[cfg(feature = "schema")]
pub use crate::shape::Shape;
#[cfg(feature = "schema")]
#[doc(hidden)]
pub use schemars;
