//! What an append is told that a store could not take: whether that is the whole truth, when it may be a repetition.
//!
//! *Not committed* means that nothing of an append is in the log. A store that was too busy, or too full, to look at an
//! append has not looked whether it was done before either; so that is looked up before the answer goes out.

use flightdeck_core::EventId;

use crate::append::{Append, AppendError, Appended, Reason, RequestKey};
use crate::port::EventStore;
use crate::read::StoreError;

/// What a failed look-up means for someone who wanted to know what became of an append.
#[must_use]
pub fn unknown(error: StoreError) -> AppendError {
    let (reason, source) = match error {
        StoreError::Corrupt(corruption) => (corruption.into(), None),
        StoreError::Failed { reason, source } => (reason, source),
        other => (Reason::Storage, Some(other.into())),
    };
    AppendError::Unknown { reason, source }
}

/// By what an append is known should it be a repetition.
#[derive(Debug, Clone)]
pub struct Identity {
    request: Option<RequestKey>,
    /// The first id that the caller gave: of a repetition all are known, and so is this.
    id: Option<EventId>,
}

impl Identity {
    /// By what `append` is known.
    #[must_use]
    pub fn of(append: &Append) -> Self {
        let id = append.events.iter().find_map(|event| event.id);
        Self { request: append.request.clone(), id }
    }

    /// What `error` is worth while someone may be in front of us whose commit can't be seen yet: for what may be a repetition of
    /// just that, nothing is certain, and no look would help.
    #[must_use]
    pub fn doubt(self, error: AppendError) -> AppendError {
        match error {
            AppendError::NotCommitted { reason, source } if self.request.is_some() || self.id.is_some() => {
                AppendError::Unknown { reason, source }
            }
            other => other,
        }
    }

    /// Says the same as `error`, if that is certain; what was done before, if the append was; and else that it is unknown.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn settle(self, store: &dyn EventStore, error: AppendError) -> Result<Appended, AppendError> {
        if let AppendError::NotCommitted { reason: Reason::Unreachable | Reason::Stopped, .. } = error {
            // Whoever can't be asked to append can't be asked anything.
            return Err(self.doubt(error));
        }
        let AppendError::NotCommitted { reason, source } = error else { return Err(error) };
        if let Some(request) = &self.request {
            match store.outcome_of(request).await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {}
                Err(AppendError::KeyReused) => return Err(AppendError::KeyReused),
                Err(_) => return Err(AppendError::Unknown { reason, source }),
            }
        }
        if let Some(id) = self.id {
            match store.event(id).await {
                Ok(None) => {}
                // It is there; to say what was done then, it has to be asked again.
                Ok(Some(_)) | Err(_) => return Err(AppendError::Unknown { reason, source }),
            }
        }
        Err(AppendError::NotCommitted { reason, source })
    }
}
