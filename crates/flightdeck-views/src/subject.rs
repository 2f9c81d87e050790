//! What an event is about: the thing that its stream is named after.

use flightdeck_store::Recorded;
use flightdeck_store::view::FoldError;

/// The id of the thing, whatever the event's data says.
pub(crate) fn subject(event: &Recorded) -> Result<&str, FoldError> {
    let id = event.stream.as_str().split_once('-').map(|(_, id)| id);
    id.ok_or_else(|| FoldError::new(format!("{} is the stream of no thing with an id", event.stream)))
}
