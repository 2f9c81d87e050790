//! The port: what an event log is, rule by rule.

use async_trait::async_trait;
use flightdeck_core::{EventId, Position, SchemaNumber, StreamId, Tag};
use tokio::sync::watch;

use crate::append::{Append, AppendError, Appended, Reason, RequestKey};
use crate::event::Recorded;
use crate::question::{LogAnswer, LogQuestion, OneByOne, answer};
use crate::read::{
    Direction, Filter, Head, Limit, LogPage, LogQuery, Snapshot, StoreError, StreamInfo, StreamPage,
    StreamQuery, StreamsPage, StreamsQuery,
};
use crate::secret::Secret;

/// An append-only log of events, cut into streams.
///
/// Every sentence below is a rule, and the crate `flightdeck-store-contract` has a test for each: a store
/// that passes them can be put under everything that is built on this trait.
///
/// What holds for the whole log:
///
/// - Positions are 1, 2, 3, dense, in the order of commits, and the same for every reader.
/// - Versions of a stream are 1, 2, 3, dense.
/// - No late arrivals: once any reader saw position p, nothing ever appears at or below p.
/// - Nothing that was committed ever changes or goes away; opening the store again finds all of it.
/// - Every event is linked to the one before by its [hash](crate::chain); recorded times never go backwards.
/// - Data, further metadata and tags come back as the bytes that went in.
/// - Damage is found when it is read, is reported with its position, and is never handed out as an event.
///
/// All methods may be called from many tasks at once. A caller that goes away in the middle of an append
/// leaves it to its fate: it is committed whole or not at all.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends events to one or more streams, if the log is as the append says.
    ///
    /// - All or nothing: after an error of the outcome *not committed* the log is as it was.
    /// - The events stand next to each other in the log, in the order given, whatever streams they are of,
    ///   and each says where its append ends.
    /// - When this returns `Ok`, the events survive a power cut. An `Err` says by its
    ///   [outcome](AppendError::outcome) whether they are certainly not there.
    /// - An expectation is about the state before the append. It may name streams that receive nothing.
    ///   Conflicts are exact: never missed, never false; the first one in the order given is reported.
    /// - A stream without an expectation may be in any state, and goes on from its last version.
    /// - A condition fails exactly if an event beyond its `after` matches one of its items: it has all of
    ///   the item's tags and one of its types. Of two appends that would break each other's condition, one fails.
    /// - A condition that is more than 100,000 events old is refused as stale, one of another epoch as such,
    ///   and one ahead of the log too.
    /// - An append of no events writes nothing, but is refused like any other.
    ///
    /// What was done before is looked up before anything else is checked:
    ///
    /// - A request key takes effect at most once, for ever: the same key with the same fingerprint gives the
    ///   first outcome, marked as a duplicate, whatever the log has come to since; with another fingerprint
    ///   it is refused and changes nothing. Keys of different callers never meet. An append of no events is
    ///   remembered too. An append that was refused is not: its key is free.
    /// - An event id takes effect at most once, for ever. If all ids are known, with the same stream, type,
    ///   schema, data, tags and further metadata, and the events stand next to each other in the same order,
    ///   the answer is what was done then, marked as a duplicate. Any other append with a known id is refused.
    /// - Both hold for appends that run at the same time.
    ///
    /// # Errors
    /// See [`AppendError`].
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// What was done under a request key: `None` when nothing was.
    ///
    /// - The answer is the first outcome, marked as a duplicate.
    /// - Another fingerprint under the same key is refused.
    ///
    /// # Errors
    /// See [`AppendError`].
    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError>;

    /// Reads a page of a stream.
    ///
    /// - Events come in the order of their versions, or backwards.
    /// - `after` excludes and `to` includes; the direction changes the order, nothing else.
    /// - A page says the stream's last version, and whether more was asked for than came; a stream that never
    ///   was has no version and no events.
    /// - A page holds at most what the limit says and about 1 MiB of data, and at least one event when there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError>;

    /// Reads a page of the log.
    ///
    /// - A reader that always goes on from where its last page ended misses nothing and gets nothing twice:
    ///   no event ever turns up behind one already handed out.
    /// - `after` excludes and `until` includes; the direction changes the order, nothing else.
    /// - Only events that pass the filter come, and every one of them.
    /// - A page says how far it looked, also when nothing passed; how far one page looks is limited.
    /// - A page says the head at the moment of the read, and whether it came to the end of what was asked for.
    /// - A cursor of another epoch is refused; a bare position is good in every epoch.
    /// - Behind the head there is nothing: the page is empty, and says that it looked as far as `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError>;

    /// The head: epoch, position and hash of the last event.
    ///
    /// - The head never goes back within an epoch, and covers every append that was answered.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn head(&self) -> Result<Head, StoreError>;

    /// What is known of one stream; `None` when it never was.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError>;

    /// A page of the list of streams, by name in the order of bytes, each stream once.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError>;

    /// The event with that id; `None` when there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError>;

    /// The last event with that tag: who owns what the tag stands for.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn last_tagged(&self, tag: &Tag) -> Result<Option<Recorded>, StoreError> {
        let mut query = LogQuery {
            filter: Filter::tagged(tag.clone()),
            direction: Direction::Backward,
            limit: Limit::new(1)?,
            ..LogQuery::default()
        };
        // A store that looks for tags page by page may have to look more than once.
        loop {
            let page = self.read_log(&query).await?;
            match (page.events.first(), query.next(&page)) {
                (Some(event), _) => return Ok(Some(event.clone())),
                (None, None) => return Ok(None),
                (None, Some(next)) => query = next,
            }
        }
    }

    /// Answers a question about the events of the log.
    ///
    /// What holds for every question:
    ///
    /// - It is about the events behind `after` up to `until` that were recorded at `from` or later and before `to`, and that pass the
    ///   filter: what a read with the filter does not show, an answer does not either.
    /// - An answer says the head that it goes by, how far it looked, and whether that was everything. It looks at a stretch no longer
    ///   than its budget, whether events pass or not.
    /// - A cursor of another epoch is refused, and so are a filter and a value without end.
    ///
    /// For events by a value, and for silent streams:
    ///
    /// - An answer ends where it is full, at the end of its budget, or when its time is up. Whoever always goes on from there gets
    ///   everything, in the order of the log, and nothing twice. However little time there is, an answer looks at something.
    /// - A value is found at its path (RFC 6901) and nowhere else; of members with the same name the last one counts. Only values
    ///   of the same kind are the same: numbers by their decimal value, whatever its size, and texts by their characters.
    /// - Metadata is asked as one object, with the server's members beside the client's. Data that is gone has no values.
    /// - A stream is silent if no event of it, whatever it is, stands behind the one that was found. It is listed by that event.
    ///
    /// For counts by day, and for streams that are alike:
    ///
    /// - They come whole or not at all: more events than the budget has, more rows than an answer has, or more time than there is, is
    ///   refused as too much.
    /// - Events are counted by the day in UTC when they were recorded, and by type; days and types without any are left out.
    /// - Streams are similar by the cosine of how many events they have of each type, the most similar first, and by name where they
    ///   are equally so. Those that have no type in common, and the stream itself, are left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        answer(&OneByOne(self), question).await
    }

    /// Keeps a snapshot of a stream in place of the one before.
    ///
    /// - One that is behind the kept one of the same schema, ahead of the stream, or larger than 4 MiB is not kept.
    /// - A snapshot never changes what a stream or the log is read as.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError>;

    /// The snapshot of a stream, if there is one of that schema.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn snapshot(&self, stream: &StreamId, schema: SchemaNumber)
    -> Result<Option<Snapshot>, StoreError>;

    /// Throws the snapshot of a stream away, if there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError>;

    /// The secret of the log, which was thought up when it began: what the values of some tags are hidden by.
    ///
    /// - A store gives it to nobody, or the same to everyone, also after reopening.
    ///
    /// Who may read the file of a store on SQLite has it; on PostgreSQL it takes a role that may write. A store that stands for
    /// one elsewhere does not give it out, which is what a store does that says nothing of it: there, commands with hidden marks
    /// are handled at the other end.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn secret(&self) -> Result<Secret, StoreError> {
        Err(StoreError::Failed { reason: Reason::Withheld, source: None })
    }

    /// What was committed last, from memory, if that is all of what is asked for: for whoever follows the log, and asks for just that.
    ///
    /// - It is what the log has. It may be a moment behind what a read sees, so nobody goes on from the one to the other.
    /// - A store need not keep anything.
    fn newest(&self, query: &LogQuery) -> Option<LogPage> {
        let _nothing = query;
        None
    }

    /// Something to wait on: it changes soon after the head did. A hint; the log is the truth.
    fn watch(&self) -> watch::Receiver<Position>;
}
