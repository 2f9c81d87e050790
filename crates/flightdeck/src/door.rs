//! What is let in: who may write what, and whether an event of a known type is of its shape.

use std::sync::OnceLock;

use flightdeck_core::Registry;
use flightdeck_store::{NewEvent, Recorded};

/// Says of an event whether it may be written, and why not.
pub(crate) type Door<'a> = &'a dyn Fn(&NewEvent) -> Result<(), String>;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(flightdeck_server::registry)
}

/// The door for everyone: what belongs to an aggregate is written by its commands only, and data of a known type is of its shape.
pub(crate) fn anyone(event: &NewEvent) -> Result<(), String> {
    let what = (&event.event_type, event.schema, &event.data);
    registry().may_be_written(&event.stream, &event.tags, what).map_err(|error| error.to_string())
}

/// The door for events of another log that an administrator appends afresh. What belongs to an aggregate does not come in this way: only
/// its commands look whether a slug is taken, and only they know how the tags of this log are hidden. The rest may be of any shape.
pub(crate) fn afresh(event: &NewEvent) -> Result<(), String> {
    registry().is_free(&event.stream, &event.tags).map_err(|error| error.to_string())
}

/// The door for administrators, who carry a log over as it is, with the tags and the secret that it has: data is of its type's shape.
/// One whose data is gone is of any.
pub(crate) fn carried(event: &Recorded) -> Result<(), String> {
    let (name, Some(data)) = (event.event_type.as_str(), event.data.json()) else {
        return Ok(());
    };
    registry()
        .check_own(&event.stream, name, event.schema, data.as_bytes())
        .map_err(|error| error.to_string())
}
