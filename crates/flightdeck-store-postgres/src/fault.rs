//! What tests may do to the writer and the listener. Without the feature `faults` it is nothing.

/// The kill points there are, in the order in which an append comes by them. What happens there is for
/// [`flightdeck_store::fault`] to say.
#[cfg(feature = "faults")]
pub const POINTS: [&str; 4] = ["before-call", "after-call", "after-answer", "migration-step"];

/// Those on the way of a piece of work on a view.
#[cfg(feature = "faults")]
pub const VIEW_POINTS: [&str; 4] =
    ["view-before-rows", "view-after-rows", "view-before-commit", "view-after-commit"];

/// Comes by a kill point.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "faults")]
        flightdeck_store::fault::come_by($name);
    };
}
pub(crate) use kill_point;

/// Whether the tests ask for a listener that reads the head before it listens, to see that they would notice.
pub(crate) fn head_before_listen() -> bool {
    #[cfg(feature = "faults")]
    if std::env::var_os("FLIGHTDECK_FAULT_LISTEN").is_some_and(|value| value == "head-first") {
        return true;
    }
    false
}
