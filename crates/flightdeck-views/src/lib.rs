//! FlightDeck's own read models, each a projection in a file of its own.
//!
//! There are [`content`], [`presentations`] (with their slides) and [`users`]. Whoever knows nothing of FlightDeck reads them
//! with SQL: `SELECT title, status FROM content`, or `SELECT place, title FROM slides ORDER BY presentation_id, place`.
//!
//! Beside them is what no table says: the [`history`] of one content, presentation or user, event by event, what it was at any
//! moment, and the [difference](diff) between two.

pub mod content;
pub mod presentations;
pub mod users;

pub mod diff;
pub mod history;
pub mod thing;

mod subject;

use std::sync::Arc;

use flightdeck_projections::Projection;

pub use crate::content::ContentView;
pub use crate::presentations::PresentationsView;
pub use crate::users::UsersView;

/// All of them.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(ContentView), Arc::new(PresentationsView), Arc::new(UsersView)]
}
