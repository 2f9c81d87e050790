//! FlightDeck's own read models, each a projection in a file of its own.
//!
//! So far there is [`content`]. Whoever knows nothing of FlightDeck reads them with SQL: `SELECT title, status FROM content`.

pub mod content;

use std::sync::Arc;

use flightdeck_projections::Projection;

pub use crate::content::ContentView;

/// All of them.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(ContentView)]
}
