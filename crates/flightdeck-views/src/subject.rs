//! What an event is about: the thing that its stream is named after.

use flightdeck_core::StoredEvents;
use flightdeck_store::view::FoldError;
use flightdeck_store::{Data, Recorded};

/// The id of the thing, whatever the event's data says.
pub(crate) fn subject(event: &Recorded) -> Result<&str, FoldError> {
    let id = event.stream.as_str().split_once('-').map(|(_, id)| id);
    id.ok_or_else(|| FoldError::new(format!("{} is the stream of no thing with an id", event.stream)))
}

/// What happened; nothing when its type is not one of ours.
///
/// Data may be gone (erased, archived). What an event was is not known then, so it changes nothing: a row stays as it was before, one that
/// would have come to be is not there, and what follows in its stream has nothing to change. But that a thing was `deleted` its type and
/// its stream say by themselves: it must not come back.
pub(crate) fn happened<E: StoredEvents>(
    event: &Recorded,
    deleted: Option<&Deletion>,
) -> Result<Option<E>, FoldError> {
    let name = event.event_type.as_str();
    match &event.data {
        Data::Json(data) => Ok(E::from_stored(name, event.schema, data.as_bytes())?),
        Data::Tombstone(_) => {
            let Some(Deletion { id, .. }) = deleted.filter(|deleted| deleted.event_type == name) else {
                return Ok(None);
            };
            let data = serde_json::json!({ *id: subject(event)? }).to_string();
            Ok(E::from_stored(name, event.schema, data.as_bytes())?)
        }
    }
}

/// How it is told that a thing was deleted: by nothing but which one it was.
pub(crate) struct Deletion {
    pub(crate) event_type: &'static str,
    /// The one field of its data.
    pub(crate) id: &'static str,
}
