//! FlightDeck's own read models, each a projection in a file of its own.
//!
//! - [`content`]: the contents that are there; [`presentations`], with their slides; [`users`].
//! - What visitors did, from their facts: [`user_activity`] (each visitor, with its timeline), [`sessions`], [`pages`], and
//!   [`site_analytics`] (totals, and series by hour, day, week and month of any [`zone`]).
//! - The log itself: [`log_days`] (events by type and day) and [`log_streams`] (streams by when something last happened in them).
//!
//! Whoever knows nothing of FlightDeck reads them with SQL: `SELECT title, status FROM content`, or
//! `SELECT place, title FROM slides ORDER BY presentation_id, place`. In a program there is a function for each question
//! beside the view that answers it; what a caller may see goes along with it ([`Asked`]).
//!
//! Beside them is what no table says: the [`history`] of one content, presentation or user, event by event, what it was at any
//! moment, and the [difference](diff) between two.
//!
//! Answers about consent are no facts, and are counted nowhere. A fact whose data is gone (erased, archived) is not counted by a view
//! that is built after that; and a content, a presentation or a user is, after an event whose data is gone, what it was before, for nobody
//! knows better: none that began with such an event is there. Only that something was deleted is said without data.

mod asked;
mod fact;
mod subject;

pub mod content;
pub mod log_days;
pub mod log_streams;
pub mod pages;
pub mod presentations;
pub mod sessions;
pub mod site_analytics;
pub mod user_activity;
pub mod users;
pub mod visitors;
pub mod zone;

pub mod diff;
pub mod history;
pub mod thing;

use std::sync::Arc;
use std::time::Duration;

use flightdeck_projections::Projection;

pub use crate::asked::Asked;
pub use crate::content::ContentView;
pub use crate::log_days::LogDaysView;
pub use crate::log_streams::LogStreamsView;
pub use crate::pages::PagesView;
pub use crate::presentations::PresentationsView;
pub use crate::sessions::SessionsView;
pub use crate::site_analytics::SiteAnalyticsView;
pub use crate::user_activity::UserActivityView;
pub use crate::users::UsersView;

/// How far the statistics of the log may be behind while nobody waits for them: every event there is is folded into them, and whoever
/// looks at them looks at days and hours.
const LOG_GATHER: Duration = Duration::from_millis(250);

/// All of them.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(ContentView),
        Arc::new(PresentationsView),
        Arc::new(UsersView),
        Arc::new(UserActivityView),
        Arc::new(SessionsView),
        Arc::new(PagesView),
        Arc::new(SiteAnalyticsView),
        Arc::new(LogDaysView),
        Arc::new(LogStreamsView),
    ]
}

#[cfg(test)]
mod ground;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flightdeck_projections::Defined;

    #[test]
    fn all_can_be_run_and_no_two_want_the_same_table() {
        let mut names = BTreeSet::new();
        for projection in super::all() {
            let defined = Defined::new(projection).unwrap();
            for table in defined.plan().tables() {
                assert!(names.insert(table.name().to_owned()), "{} is there twice", table.name());
            }
        }
    }

    #[test]
    fn every_limit_stands_in_the_readme_as_it_is() {
        let readme = include_str!("../README.md");
        for (name, most) in [
            ("BUCKETS_MAX", crate::zone::BUCKETS_MAX),
            ("SERIES_ROWS_MAX", crate::zone::SERIES_ROWS_MAX),
            ("EXACT_HOUR", crate::site_analytics::EXACT_HOUR),
            ("EXACT_MAX", crate::site_analytics::EXACT_MAX),
            ("DAYS_MAX", crate::log_days::DAYS_MAX),
            ("HISTORY_EVENTS_MAX", crate::history::HISTORY_EVENTS_MAX),
            ("HISTORY_BYTES_MAX", crate::history::HISTORY_BYTES_MAX),
            ("FOLDED_EVENTS_MAX", crate::history::FOLDED_EVENTS_MAX),
            ("WORDS_MAX", crate::diff::WORDS_MAX),
            ("HISTORY_WORDS_MAX", crate::history::HISTORY_WORDS_MAX),
        ] {
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            assert!(row.is_some_and(|row| row.ends_with(&format!(" {most} |"))), "{name} is {most}: {row:?}");
        }
    }

    #[test]
    fn whatever_is_listed_in_an_order_has_an_index_of_it() {
        for (view, table, columns) in [
            ("user_activity", "user_activity", &["facts"][..]),
            ("user_activity", "user_activity", &["views"]),
            ("user_activity", "user_activity", &["last_active"]),
            ("sessions", "sessions", &["visitor", "number"]),
            ("sessions", "sessions", &["ended_at"]),
            ("pages", "pages", &["views"]),
            ("pages", "pages", &["facts"]),
            ("pages", "pages", &["last_viewed"]),
            ("log_streams", "log_streams", &["last_at"]),
            ("log_streams", "log_streams", &["category", "last_at"]),
        ] {
            let found = super::all().into_iter().find(|projection| projection.name() == view).unwrap();
            let tables = found.tables();
            let indexes = tables.iter().find(|known| known.name() == table).unwrap().indexes();
            assert!(indexes.iter().any(|index| index == columns), "{table} by {columns:?}");
        }
    }
}
