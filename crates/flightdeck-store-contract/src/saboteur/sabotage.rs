//! The kinds of sabotage, each a promise that is broken.

/// Makes an enum and the list of all of its variants from one list.
macro_rules! sabotages {
    ($(#[$of:meta])* $kinds:ident: $($(#[$doc:meta])* $name:ident,)*) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $kinds {
            $($(#[$doc])* $name,)*
        }

        impl $kinds {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}
pub(super) use sabotages;

sabotages! {
    /// Which promise a store breaks.
    Sabotage:

    /// Names the streams of an answer by name, not in the order of their first event.
    AnswersStreamsByName,
    /// Takes an append whatever version it expects.
    IgnoresVersions,
    /// Takes an append that expects a version the stream has not reached.
    TakesVersionsAhead,
    /// Takes an append that expects no stream where there is one.
    IgnoresNoStream,
    /// Takes an append that expects a stream where there is none.
    IgnoresExists,
    /// Takes the expectation of any state for that of no stream.
    TakesAnyForNoStream,
    /// Reports a conflict when another stream was written last.
    ConflictsWithNeighbours,
    /// Reports a conflict when someone else is just appending.
    ConflictsWhenBusy,
    /// Checks the expectation of no stream again for the second event of the stream.
    ChecksBetweenItsEvents,
    /// Overlooks expectations about streams that receive nothing.
    LooksOnlyAtWrittenStreams,
    /// Writes the streams that are as expected when another one is not.
    TearsARefusedAppend,
    /// Writes something although it refuses the append.
    WritesWhatItRefuses,
    /// Reports the last conflict in place of the first.
    ReportsTheLastConflict,
    /// Does not say which version it found.
    ForgetsWhatItFound,
    /// Says of a conflict that its outcome is unknown.
    SaysUnknown,
    /// Sorts the events of an append by stream.
    GroupsByStream,
    /// Says of each event that its append ends with it.
    SaysAppendsEndAtOnce,
    /// Writes an event for an append of none.
    WritesForNothing,
    /// Takes every append of no events, whatever its terms.
    TakesAnyAppendOfNothing,
    /// Makes a new id where an append has one twice.
    OverlooksIdsTwice,
    /// Looks only at the first of two expectations about a stream.
    OverlooksExpectationsTwice,
    /// Cuts what is too much in place of refusing it.
    CutsWhatIsTooMuch,
    /// Refuses appends that are large and legal.
    RefusesLargeAppends,
    /// Writes JSON anew, its own way.
    TidiesJson,
    /// Drops large payloads.
    DropsLargePayloads,
    /// Forgets what caused an event.
    ForgetsCausation,
    /// Forgets schema numbers.
    ForgetsSchemas,
    /// Makes ids itself where one was given.
    MakesAllIdsItself,
    /// Gives one id to all events that come without.
    GivesOneIdToAll,
    /// Answers every fortieth append and loses it.
    LosesEveryFortiethAppend,
    /// Writes the events of an append one by one.
    SplitsAppends,
    /// Looks at expectations and conditions some time before it writes.
    ChecksBeforeItsTurn,
    /// Leaves out a version.
    SkipsAVersion,
    /// Leaves out a position.
    SkipsAPosition,
    /// Takes streams for the same whose names differ in case.
    FoldsCase,

    /// Does a repeated request again.
    DoublesOnRetry,
    /// Looks at terms before it looks at what was done.
    ChecksStateFirst,
    /// Does not compare fingerprints.
    IgnoresFingerprints,
    /// Takes caller and key for one text.
    MixesUpCallers,
    /// Does not remember appends of nothing.
    ForgetsAppendsOfNothing,
    /// Remembers the key of a refused append.
    RemembersRefusals,
    /// Answers a repetition with where the head is now.
    AnswersWithTheHead,
    /// Does not mark repetitions.
    ForgetsTheMark,
    /// Knows nothing of what was done under a key.
    KnowsNoOutcomes,
    /// Appends events with known ids again, under new ones.
    DoublesKnownIds,
    /// Refuses events with known ids, although they are the same.
    RefusesKnownIds,
    /// Answers known ids without comparing what comes with them.
    IgnoresContentOfKnownIds,
    /// Appends the unknown half of an append.
    WritesTheUnknownHalf,
    /// Compares also what the server adds to an event.
    ComparesWhatTheServerAdds,
    /// Looks up ids before keys.
    LooksUpIdsFirst,
    /// Looks up keys some time before it writes.
    LooksUpKeysBeforeItsTurn,
    /// Looks up ids some time before it writes.
    LooksUpIdsBeforeItsTurn,
    /// Forgets request keys when it is opened again.
    ForgetsKeysWhenReopened,
    /// Forgets the ids of events when it is opened again.
    ForgetsIdsWhenReopened,

    /// Takes an append whatever its condition.
    IgnoresConditions,
    /// Names the last event that matches a condition.
    NamesTheLastMatch,
    /// Counts the event at `after` as one beyond it.
    CountsTheDecisionItself,
    /// Lets a condition fail that nothing matches.
    FailsWithoutAMatch,
    /// Takes an event for a match that has one of an item's tags.
    SpoilsByOneTag,
    /// Does not look at the types of an item.
    IgnoresTypesOfConditions,
    /// Overlooks items without tags.
    SpoilsOnlyByTags,
    /// Looks only at the first item.
    LooksOnlyAtTheFirstItem,
    /// Lets a condition without items match everything.
    FailsWithoutItems,
    /// Does not look at the streams of the system.
    OverlooksSystemEvents,
    /// Lets the append's own events spoil its condition.
    LooksAtItsOwnEvents,
    /// Overlooks expectations beside a condition.
    ForgetsExpectationsBesideConditions,
    /// Lets a condition fail when someone else is just appending.
    FailsConditionsWhenBusy,
    /// Takes decisions of any age.
    IsNeverStale,
    /// Takes cursors of any epoch.
    IgnoresEpochs,
    /// Takes conditions that are ahead of the log.
    TakesConditionsAhead,

    /// Gives the events of a stream in pairs the wrong way round.
    MixesUpVersions,
    /// Reads streams forward only.
    ReadsStreamsForwardOnly,
    /// Gives the event at `after` of a stream too.
    IncludesAfterOfStreams,
    /// Leaves out the event at `to` of a stream.
    ExcludesToOfStreams,
    /// Begins again when a stream is read behind its end.
    StartsOverBehindTheEnd,
    /// Says of a stream that never was that it has a version.
    GivesEveryStreamAVersion,
    /// Does not keep to the limit of a stream's page.
    IgnoresLimitsOfStreams,
    /// Says that there is more of a stream when a page is just full.
    SaysMoreOfAFullPageOfAStream,
    /// Loses the first event of each later page of a stream.
    LosesStreamEventsBetweenPages,
    /// Says the version of the page for that of the stream.
    SaysTheVersionOfThePage,
    /// Fills pages of streams beyond 1 MiB.
    FillsPagesOfStreams,
    /// Mistakes when a stream began.
    MistakesWhenAStreamBegan,
    /// Lists streams without regard to case.
    ListsWithoutCase,
    /// Lists the stream at `after` once more.
    IncludesAfterOfTheList,
    /// Takes a category for the beginning of a name when it lists streams.
    ListsCategoriesByPrefix,
    /// Leaves the streams of the system out of the list.
    HidesSystemStreamsFromTheList,

    /// Gives the event at `after` of the log too.
    IncludesAfterOfTheLog,
    /// Leaves out the event at `until`.
    ExcludesUntil,
    /// Reads the log forward only.
    ReadsTheLogForwardOnly,
    /// Does not keep to the limit of the log's page.
    IgnoresLimitsOfTheLog,
    /// Loses the first event of each later page of the log.
    LosesLogEventsBetweenPages,
    /// Gives the first two events of a small page the wrong way round.
    DependsOnThePage,
    /// Says of an empty log that it has an event.
    BeginsAtOne,
    /// Says that it looked as far as the head when it was asked for what is behind.
    FallsBackToTheHead,
    /// Says that it looked no further than to the last event that passed.
    SaysItLookedOnlyAtWhatItGave,
    /// Says that it looked beyond the head.
    LooksBeyondTheHead,
    /// Says that there is more of the log when a page is just full.
    SaysMoreOfAFullPageOfTheLog,
    /// Looks at the whole log for one page.
    LooksAtEverything,
    /// Says that the log has ended when nothing passed.
    SaysTheEndTooEarly,
    /// Says the end of the page for the head.
    SaysTheEndOfThePageForTheHead,
    /// Says that the head is where the reader is.
    SaysItIsWhereTheReaderIs,
    /// Fills pages of the log beyond 1 MiB.
    FillsPagesOfTheLog,
    /// Refuses bare positions.
    RefusesBarePositions,
    /// Says the head before the last append.
    LagsBehind,
    /// Says an earlier head at every fifth look.
    GoesBackNowAndThen,
    /// Wakes nobody.
    WakesNobody,
    /// Takes the name of a stream for the beginning of names.
    MatchesStreamsByPrefix,
    /// Takes a category for the beginning of names.
    MatchesCategoriesByPrefix,
    /// Takes `_` for any character, and does not look at case.
    MatchesLikeSql,
    /// Shows the streams of the system to a `*`.
    ShowsSystemStreamsToAStar,
    /// Hides the streams of the system when there is no filter.
    HidesSystemStreams,
    /// Takes the name of a type for the beginning of names.
    MatchesTypesByPrefix,
    /// Looks only at the first stream and the first type of a filter.
    MatchesOnlyTheFirst,
    /// Takes any part of a filter for enough.
    MatchesAnyPart,
    /// Cuts a filter that is too long.
    CutsFilters,
    /// Shows an event only to the second who reads it.
    ShowsEventsLate,
    /// Does not find events by their ids.
    FindsNoIds,
    /// Records times that go backwards.
    RecordsBackwards,
    /// Loses the last event when it is opened again.
    ForgetsTheLastEventWhenReopened,
    /// Begins a new epoch whenever it is opened.
    BeginsAnEpochWhenReopened,

    /// Compares the whole data, whatever the path.
    LooksAtTheWholeValue,
    /// Takes a tilde in a path for a tilde.
    TakesPathsLiterally,
    /// Rounds numbers that are looked for to doubles.
    ComparesNumbersAsDoubles,
    /// Takes a text that looks like another value for that.
    TakesTextsForNumbers,
    /// Looks into the data when the metadata is asked.
    AsksDataForMetadata,
    /// Loses the first of what each later answer has.
    LosesTheFirstOfLaterAnswers,
    /// Fills answers beyond 1 MiB.
    FillsAnswers,
    /// Looks at the whole log for one answer, however long it takes.
    IgnoresBudgets,
    /// Looks at the event at `after` of a question too.
    IncludesAfterOfQuestions,
    /// Looks at events of the very moment `to` too.
    IncludesTo,
    /// Looks at all events for an answer, whether they pass or not.
    IgnoresFiltersOfQuestions,
    /// Counts events for the day after.
    MistakesDays,
    /// Counts nothing where there is too much, in place of refusing it.
    CutsCounts,
    /// Lists silent streams by name.
    ListsTheSilentByName,
    /// Calls a stream silent behind its last event that passes, whatever follows.
    ForgetsWhatFollows,
    /// Finds all streams to be equally similar that have anything in common.
    FindsAllAlike,
    /// Lists streams that are equally similar from the last name to the first.
    BreaksTiesBackwards,
    /// Finds a stream to be like itself.
    FindsItselfAlike,
    /// Says another head than an answer goes by.
    SaysAnotherHead,

    /// Cuts large snapshots.
    CutsSnapshots,
    /// Gives a snapshot for any schema.
    IgnoresSchemasOfSnapshots,
    /// Has one snapshot for all streams of a category.
    MixesUpSnapshots,
    /// Keeps the first snapshot for ever.
    KeepsTheFirstSnapshot,
    /// Does not replace a snapshot by one of the same version.
    KeepsOnlyNewerSnapshots,
    /// Replaces a snapshot by an older one.
    TakesOlderSnapshots,
    /// Compares the versions of snapshots of different schemas.
    ComparesSnapshotsOfAllSchemas,
    /// Keeps snapshots that are ahead of their stream.
    KeepsSnapshotsAhead,
    /// Keeps snapshots of any size.
    KeepsHugeSnapshots,
    /// Throws no snapshot away.
    ThrowsNoSnapshotAway,
    /// Fails when there is no snapshot to throw away.
    FailsWithoutASnapshot,
    /// Reads a stream from its snapshot on.
    StartsStreamsAtTheirSnapshot,
    /// Forgets snapshots when it is opened again.
    ForgetsSnapshotsWhenReopened,

    /// Has another hash before the first event.
    BeginsWithAnotherHash,
    /// Hands out hashes that are not those of their events.
    AltersHashes,
    /// Has one hash for all events.
    RepeatsHashes,
    /// Says another hash for its head.
    AltersTheHashOfTheHead,
    /// Begins the chain anew when it is opened again.
    BreaksTheChainWhenReopened,

    /// Has another secret for everyone who asks.
    ThinksUpSecrets,
    /// Has another secret when it is opened again.
    ForgetsTheSecretWhenReopened,

    /// Lets everything through a filter by tags.
    IgnoresTags,
    /// Takes any tag of a filter for enough.
    MatchesAnyTag,
    /// Takes a tag for the beginning of tags.
    MatchesTagsByPrefix,
    /// Takes tags for the same that differ in case.
    FoldsCaseOfTags,
    /// Keeps eight tags of an event.
    DropsTags,
    /// Gives every event the tags of its whole append.
    SpreadsTags,
    /// Names the first event that had a tag.
    SaysWhoHadATagFirst,
    /// Forgets tags when it is opened again.
    ForgetsTagsWhenReopened,
}
