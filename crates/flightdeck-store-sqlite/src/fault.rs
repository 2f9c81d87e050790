//! What tests may do to the writer: kill points, and a durability that is none. Without the feature `faults` they are nothing.

/// The kill points there are, in the order in which an append comes by them. What happens there is for
/// [`flightdeck_store::fault`] to say.
#[cfg(feature = "faults")]
pub const POINTS: [&str; 6] =
    ["before-begin", "after-insert", "before-commit", "after-commit", "after-answer", "migration-step"];

/// Comes by a kill point.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "faults")]
        flightdeck_store::fault::come_by($name);
    };
}
pub(crate) use kill_point;

/// What the tests may ask for in place of `synchronous=FULL`, to see that they would notice.
pub(crate) fn synchronous() -> &'static str {
    #[cfg(feature = "faults")]
    if std::env::var_os("FLIGHTDECK_FAULT_SYNCHRONOUS").is_some_and(|value| value == "off") {
        return "OFF";
    }
    "FULL"
}
