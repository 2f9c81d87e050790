//! Visitor facts of FlightDeck: what visitors of a site do, and what they consented to.
//!
//! Each visitor has a stream of its own (`visitor-…`). What goes into it is decided by [`visitor`], one file from events to
//! decider: open it. Facts come in [batches](visitor::Batch) of up to 20, each of up to 16 KiB, with the server's time and,
//! beside it, the time that the visitor's own clock says. Whether a fact is stored at all depends on what the visitor consented
//! to, and on whether the [site asks](visitor::Policy).
//!
//! Events are stored for ever: their names, fields and shapes are in `EVENTS.md` and `schemas/`, made from the types here.
//!
//! What is not here: no store, no clock, no cookies, no rates. Whoever takes facts from strangers looks after these.
//!
//! ```
//! use flightdeck_core::{Json, Timestamp, kit::given};
//! use flightdeck_analytics::VisitorId;
//! use flightdeck_analytics::visitor::{Batch, Command, Policy, Record, Visitor};
//!
//! let body = Json::new("[{\"type\":\"PageViewed\",\"pageId\":\"/pricing\"},{\"type\":\"ButtonClicked\"}]", 1024)?;
//! assert_eq!(Batch::read(&body).unwrap_err().wrong.missing, ["[1].buttonId"]);
//!
//! let batch = Batch::read(&Json::new("{\"type\":\"PageViewed\",\"pageId\":\"/pricing\"}", 1024)?)?;
//! let (visitor_id, at) = (VisitorId::new("7f3a")?, "2026-11-21T09:30:00Z".parse::<Timestamp>()?);
//! // Where the site asks first, nothing is stored of someone who has not answered.
//! let record = Record { visitor_id, batch, policy: Policy::AskFirst, at };
//! given::<Visitor>([]).when(Command::Record(record)).then([]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod visitor;
pub mod words;

pub use crate::words::VisitorId;

use flightdeck_core::Shape;

/// Every shape that a visitor's event has or had.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    visitor::SHAPES.iter()
}
