//! What tests may do to the writer: kill points, and a durability that is none. Without the feature `faults` they are nothing.

/// The kill points there are, in the order in which an append comes by them. What happens there is for
/// [`flightdeck_store::fault`] to say.
#[cfg(feature = "faults")]
pub const POINTS: [&str; 6] =
    ["before-begin", "after-insert", "before-commit", "after-commit", "after-answer", "migration-step"];

/// Those on the way of a log that is carried into a store, and of a backup.
#[cfg(feature = "faults")]
pub const FILL_POINTS: [&str; 3] = ["fill-insert", "fill-commit", "fill-finish"];
/// Those on the way of a backup.
#[cfg(feature = "faults")]
pub const BACKUP_POINTS: [&str; 2] = ["backup-written", "backup-name"];

/// Those on the way of a piece of work on a view.
#[cfg(feature = "faults")]
pub const VIEW_POINTS: [&str; 5] =
    ["view-before-rows", "view-after-rows", "view-before-commit", "view-after-commit", "view-staged"];

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
