//! Sabotage of snapshots.

use flightdeck_core::limits::SNAPSHOT_BYTES_MAX;
use flightdeck_core::{SchemaNumber, StreamId};
use flightdeck_store::{EventStore as _, Reason, Snapshot, StoreError};

use super::Sabotage as By;
use super::store::Sabotaged;

impl Sabotaged {
    pub(super) async fn sabotaged_save(
        &self,
        stream: &StreamId,
        mut snapshot: Snapshot,
    ) -> Result<(), StoreError> {
        let stream = &self.place(stream);
        let kept = self.memo.notes().snapshots.get(stream).cloned();
        let (exists, version) = (kept.is_some(), kept.map(|kept| kept.version));
        match self.sabotage {
            Some(By::CutsSnapshots) => snapshot.state.truncate(100_000),
            Some(By::IgnoresSchemasOfSnapshots) => snapshot.schema = SchemaNumber::FIRST,
            Some(By::KeepsTheFirstSnapshot) if exists => return Ok(()),
            Some(By::KeepsOnlyNewerSnapshots) if version == Some(snapshot.version) => return Ok(()),
            Some(By::TakesOlderSnapshots) => self.inner.delete_snapshot(stream).await?,
            Some(By::ComparesSnapshotsOfAllSchemas) if version > Some(snapshot.version) => return Ok(()),
            _ => {}
        }
        self.memo.notes().snapshots.insert(stream.clone(), snapshot.clone());
        self.inner.save_snapshot(stream, snapshot).await
    }

    pub(super) async fn sabotaged_snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        let stream = &self.place(stream);
        match self.sabotage {
            Some(By::IgnoresSchemasOfSnapshots) => {
                let kept = self.inner.snapshot(stream, SchemaNumber::FIRST).await?;
                Ok(kept.map(|kept| Snapshot { schema, ..kept }))
            }
            Some(By::KeepsSnapshotsAhead) => {
                Ok(self.memo.notes().snapshots.get(stream).filter(|kept| kept.schema == schema).cloned())
            }
            Some(By::KeepsHugeSnapshots) => {
                let huge = self.memo.notes().snapshots.get(stream).cloned();
                match huge.filter(|huge| huge.schema == schema && huge.state.len() > SNAPSHOT_BYTES_MAX) {
                    Some(huge) => Ok(Some(huge)),
                    None => self.inner.snapshot(stream, schema).await,
                }
            }
            Some(By::ForgetsSnapshotsWhenReopened) if self.forgotten.is_some() => Ok(None),
            _ => self.inner.snapshot(stream, schema).await,
        }
    }

    pub(super) async fn sabotaged_delete(&self, stream: &StreamId) -> Result<(), StoreError> {
        let stream = &self.place(stream);
        let was_there = self.memo.notes().snapshots.remove(stream).is_some();
        match self.sabotage {
            Some(By::ThrowsNoSnapshotAway) => Ok(()),
            Some(By::FailsWithoutASnapshot) if !was_there => {
                Err(StoreError::Failed { reason: Reason::Storage, source: None })
            }
            _ => self.inner.delete_snapshot(stream).await,
        }
    }

    /// Under which stream a snapshot is kept.
    fn place(&self, stream: &StreamId) -> StreamId {
        match self.is(By::MixesUpSnapshots) {
            true => StreamId::new(format!("{}-1", stream.category())).unwrap(),
            false => stream.clone(),
        }
    }
}
