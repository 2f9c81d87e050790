//! The kinds of sabotage of views, each a promise that is broken.

use crate::saboteur::sabotage::sabotages;

sabotages! {
    /// Which promise a store of views breaks.
    ViewSabotage:

    /// Has every generation ready from the start.
    BeginsReady,
    /// Throws away what is there and makes it again.
    MakesAnewWhatIsThere,
    /// Finds the oldest build in place of the newest.
    FindsTheOldestBuild,
    /// Looks whether a generation is there some time before it makes it.
    MakesBeforeItsTurn,
    /// Takes a plan that has changed under its number.
    TakesChangedPlans,
    /// Takes a table that is another view's.
    TakesTakenTables,
    /// Lists numbers as if they were texts.
    ListsNumbersAsTexts,
    /// Throws the ready build away when it begins another.
    BuildsInPlace,
    /// Goes on with a build that is unfinished.
    GoesOnWithUnfinishedBuilds,
    /// Does not leave out in a further build what was left out before.
    ForgetsSkipsInBuilds,
    /// Loads rows of the first build, whichever is folded.
    LoadsFromTheFirstBuild,
    /// Tells all generations of a view what it was to tell one.
    MarksTheWholeView,
    /// Throws nothing away.
    DiscardsNothing,
    /// Does not throw away what serves.
    ProtectsWhatServes,
    /// Keeps the names of tables of views that are gone.
    RemembersNamesOfTables,
    /// Remembers how far a generation was that was thrown away.
    RemembersWhatIsGone,
    /// Does not note who wants what.
    IgnoresWants,
    /// Forgets halts when it is opened again.
    ForgetsHaltsWhenReopened,
    /// Forgets rows when it is opened again.
    ForgetsRowsWhenReopened,
    /// Forgets how far it was when it is opened again.
    ForgetsCheckpointsWhenReopened,

    /// Gives everyone the lease.
    LeasesToEveryone,
    /// Raises the token of who asks again.
    RaisesTokensOfItsHolder,
    /// Does not prolong a lease.
    NeverProlongs,
    /// Lets no lease run out.
    NeverLapses,
    /// Does not take back what is given back.
    TakesNothingBack,
    /// Has one token for everyone.
    HasOneToken,
    /// Takes the lease back from whoever has it now.
    TakesBackFromAnyone,
    /// Leases all generations of a view together.
    LeasesTheWholeView,
    /// Takes a lease for bad as soon as it has run out.
    FencesLapsedLeases,
    /// Takes what comes late.
    IgnoresTokens,
    /// Leases what is not there.
    LeasesWhatIsNotThere,
    /// Begins with the first token when it is opened again.
    ForgetsTokensWhenReopened,

    /// Keeps numbers as floating ones.
    KeepsNumbersAsFloats,
    /// Keeps milliseconds of moments.
    KeepsMilliseconds,
    /// Trims texts.
    TrimsTexts,
    /// Sorts lists.
    SortsLists,
    /// Writes JSON anew, its own way.
    TidiesJson,
    /// Loads rows by texts only.
    LoadsOnlyByTexts,
    /// Takes keys for the same that differ in case.
    FoldsCaseOfKeys,
    /// Takes the beginning of a key for the beginning of a text.
    MistakesBeginnings,
    /// Gives a row as often as it was asked for.
    RepeatsRows,
    /// Makes up rows that are not there.
    MakesUpRows,
    /// Loads a thousand keys of however many.
    LoadsAThousandKeys,

    /// Moves the position of the checkpoint only.
    MovesThePositionOnly,
    /// Does nothing for work that changes no rows.
    SkipsEmptyWork,
    /// Keeps cells of the row before where the new one has nothing.
    MergesRows,
    /// Keeps the first row under a key for ever.
    KeepsTheFirstRow,
    /// Removes nothing.
    RemovesNothing,
    /// Fails to remove what is not there.
    FailsToRemoveWhatIsNotThere,
    /// Changes one table of several.
    ChangesOneTable,
    /// Takes work from wherever it begins.
    IgnoresCheckpoints,
    /// Compares the positions of checkpoints only.
    ComparesPositionsOnly,
    /// Takes any work before the first event.
    TakesAnythingAtTheStart,
    /// Compares checkpoints some time before it works.
    ChecksBeforeItsTurn,
    /// Moves rows and checkpoint one after the other.
    TearsWork,
    /// Does two thousand rows of however many.
    CutsLargeWork,
    /// Refuses work that is as large as it may be.
    RefusesFullWork,
    /// Keeps a halt although work was done.
    KeepsHaltsOverWork,

    /// Lets nothing serve.
    ServesNothing,
    /// Lets no further build serve.
    BuildsNeverServe,
    /// Lets serve what took over last.
    ServesTheLatest,
    /// Is between two generations for a moment.
    TakesOverInSteps,
    /// Keeps earlier builds.
    KeepsEarlierBuilds,
    /// Throws lower numbers away.
    ThrowsLowerNumbersAway,
    /// Takes over although it is behind.
    TakesOverBehind,
    /// Puts off what is just as far.
    WaitsAtTheSamePlace,
    /// Does not wait for one that has halted.
    OverlooksWhatHasHalted,
    /// Waits for one that has diverged.
    WaitsForWhatHasDiverged,

    /// Forgets at which event a view has halted.
    ForgetsEventsOfHalts,
    /// Keeps the first reason for a halt.
    KeepsTheFirstHalt,
    /// Does not answer for a view that has halted.
    HidesWhatHasHalted,
    /// Never waits.
    NeverPauses,
    /// Leaves a halt when it is told to go on.
    ResumesOnlyWhatIsPaused,
    /// Remembers only what it was told last to leave out.
    RemembersTheLastSkip,
    /// Leaves out any event.
    SkipsAnything,
    /// Leaves out where it has diverged.
    SkipsWhatHasDiverged,
    /// Tells something to what is not there.
    MarksWhatIsNotThere,

    /// Answers by what serves, whatever number was asked for.
    AnswersByWhatServes,
    /// Answers for the very number only.
    AnswersForItsNumberOnly,
    /// Says of an unknown view that it is not ready.
    SaysNotReadyOfTheUnknown,
    /// Says an earlier checkpoint.
    SaysAnEarlierCheckpoint,
    /// Answers from the first table.
    MixesUpTables,
    /// Does not keep to the limit of a page.
    IgnoresLimits,
    /// Says that there is more when a page is just full.
    SaysMoreOfAFullPage,
    /// Loses the first row of each later page.
    LosesRowsBetweenPages,
    /// Goes on behind all rows that are like the last one in the first column.
    GoesOnByTheFirstColumn,
    /// Goes on behind as many rows as it has given.
    GoesOnByCounting,
    /// Forgets conditions on later pages.
    ForgetsConditionsOnLaterPages,
    /// Answers with nothing what can't be answered.
    TakesAnyQuery,
    /// Refuses queries that are large and legal.
    RefusesLargeQueries,

    /// Compares texts without their case.
    ComparesWithoutCase,
    /// Takes the bound for a part of what lies beyond it.
    IncludesTheBound,
    /// Looks at a hundred values of however many.
    LooksAtAHundredValues,
    /// Takes one of no values for any.
    TakesNoneForAny,
    /// Looks for parts of the texts in a list.
    LooksForPartsOfLists,
    /// Takes what is empty for nothing.
    TakesEmptyForNothing,
    /// Has nothing before every value.
    ComparesNothing,
    /// Takes one condition that is so for enough.
    NeedsOneCondition,

    /// Sorts backwards when nothing was asked for.
    SortsBackwardsByItself,
    /// Sorts texts without their case.
    SortsTextsWithoutCase,
    /// Sorts numbers as texts.
    SortsNumbersAsTexts,
    /// Sorts nothing last.
    SortsNothingLast,
    /// Sorts like rows backwards.
    SortsLikeRowsBackwards,
    /// Sorts by the first column only.
    SortsByTheFirstColumn,

    /// Looks for words with their case.
    LooksForWordsWithCase,
    /// Takes one word for enough.
    NeedsOneWord,
    /// Finds parts of words.
    FindsPartsOfWords,
    /// Looks only for whole words.
    IgnoresStars,
    /// Looks for no words in lists.
    SearchesNoLists,
    /// Finds rows by what they said before.
    FindsWhatRowsSaid,
    /// Finds rows that are gone.
    FindsRowsThatAreGone,
    /// Knows no letters but those of ASCII.
    KnowsOnlyAscii,
    /// Does not compose letters.
    ComposesNoLetters,
    /// Forgets long words.
    ForgetsLongWords,
    /// Overlooks common words.
    OverlooksCommonWords,
    /// Looks for words in every column.
    SearchesEveryColumn,
    /// Forgets conditions beside words.
    ForgetsConditionsBesideWords,
    /// Finds words of the newest build.
    FindsWordsOfBuilds,
    /// Forgets words when it is opened again.
    ForgetsWordsWhenReopened,

    /// Takes the name of a stream for the beginning of names.
    ShowsWhatBeginsWithAName,
    /// Takes the name of a category for the beginning of names.
    ShowsWhatBeginsWithACategory,
    /// Takes `_` for any character, and does not look at case.
    ShowsNamesLikeSql,
    /// Shows everything to who may see nothing.
    ShowsAllForNothing,
    /// Shows the streams of the system to a `*`.
    ShowsTheSystemToAStar,
    /// Shows tables of no streams to everyone.
    ShowsTablesOfNoStreams,
    /// Forgets who asks when words are asked for.
    ForgetsWhoAsksForWords,
    /// Looks at a hundred patterns of however many.
    LooksAtAHundredPatterns,

    /// Folds a little after the append was answered.
    FoldsLater,
    /// Folds the first event of an append.
    FoldsTheFirstEvent,
    /// Folds what a view does not read.
    FoldsEverything,
    /// Stays where it is when there is nothing to fold.
    StaysWhereNothingPasses,
    /// Refuses an append that can't be folded.
    RefusesWhatCannotBeFolded,
    /// Passes by what can't be folded.
    PassesByWhatFails,
    /// Passes by what is not known.
    PassesByWhatIsNotKnown,
    /// Folds no further view when one has failed.
    FailsForAll,
    /// Folds although the view is behind.
    PassesByWhatIsBehind,
    /// Folds although the view was told to wait.
    FoldsWhilePaused,
    /// Never folds again what has halted once.
    NeverGoesOn,
    /// Folds a repeated append again.
    FoldsRepetitions,
    /// Folds what was asked for before, too.
    AddsToWhatWasAsked,
    /// Moves rows and checkpoint one after the other within the append.
    TearsInlineFolds,
    /// Folds nothing within appends when it is opened again.
    ForgetsToFoldWhenReopened,
}
