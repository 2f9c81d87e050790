//! FlightDeck's own read models, each a projection in a file of its own.
//!
//! So far there is [`content`]. Whoever knows nothing of FlightDeck reads them with SQL: `SELECT title, status FROM content`.

pub mod content;

pub use crate::content::ContentView;
