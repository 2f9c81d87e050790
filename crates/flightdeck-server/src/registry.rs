//! Every aggregate of ours in one registry: which events are stored, and who may write what.

use flightdeck_analytics::visitor::Visitor;
use flightdeck_core::Registry;
use flightdeck_domain::content::Content;
use flightdeck_domain::presentation::Presentation;
use flightdeck_domain::token::Token;
use flightdeck_domain::user::User;

/// All that this program knows of stored events. A foreign aggregate goes on top, by [`Registry::with`].
///
/// # Panics
/// Never: the names are constants, and a test has seen that they fit together.
#[must_use]
pub fn registry() -> Registry {
    let ours = || {
        Registry::default()
            .with::<Content>()?
            .with::<Presentation>()?
            .with::<Token>()?
            .with::<User>()?
            .with::<Visitor>()
    };
    #[expect(clippy::expect_used, reason = "the names are constants")]
    ours().expect("the names of our aggregates fit together")
}

#[cfg(test)]
mod tests {
    use flightdeck_core::{StreamId, Tag};

    #[test]
    fn every_aggregate_is_in_it_with_what_it_owns() {
        let registry = super::registry();
        assert_eq!(registry.iter().count(), 3 + 7 + 2 + 4 + 8);
        for stream in ["content-1", "presentation-1", "user-1", "visitor-1", "$token-1"] {
            assert!(registry.owns_stream(&StreamId::new(stream).unwrap()), "{stream}");
        }
        for tag in ["slug:a", "email:a", "role:admin"] {
            assert!(registry.owns_tag(&Tag::new(tag).unwrap()), "{tag}");
        }
        assert!(!registry.owns_stream(&StreamId::new("order-1").unwrap()));
        assert!(!registry.owns_tag(&Tag::new("order:1").unwrap()));
    }
}
