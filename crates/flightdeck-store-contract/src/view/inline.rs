//! Folding within the appends, where a store can do that: what is answered is folded, and a fold that fails harms nobody else.
//!
//! A store that can't says so when it is asked to, and then there is nothing that these rules could ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flightdeck_core::{EventId, Position};
use flightdeck_store::view::{
    Cache, Checkpoint, Fold, FoldError, Generation, GenerationState, Halt, HaltKind, Inline, Key, Kind,
    Lease, Mark, Plan, Row, Rows, Table, Value, ViewQuery, Work,
};
use flightdeck_store::{Append, Expected, Filter, LogQuery, Recorded};

use crate::given::{
    Store, append, at_once, category, event, fill, head, id, log, one_each, position, read, request, stream,
    typed,
};
use crate::view::ViewSubject;
use crate::view::given::{LONG, Views, ask, at, holder, lease, name, reopen, state, whole};
use crate::view::work::asking;

/// Counts the events of each stream, and under the empty name all of them. An event of the type `Bad` can't be folded.
struct Tally(&'static str);

impl Fold for Tally {
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of(self.0, event.stream.as_str()), Key::of(self.0, "")])
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        for stream in ["", event.stream.as_str()] {
            let count = rows.get(self.0, stream).and_then(|row| row.integer("count")).unwrap_or(0);
            rows.put(self.0, [stream.into(), Value::from(count + 1)])?;
        }
        match event.event_type.as_str() {
            "Bad" => Err(FoldError::new("this is not to be counted")),
            _ => Ok(()),
        }
    }
}

/// Reads what passes the filter, and can't go on at an event of the type `Strange`, which is not known yet.
fn reads(filter: &Filter, event: &Recorded) -> Result<bool, Halt> {
    let not_known = || Halt {
        kind: HaltKind::NeedsUpgrade,
        position: event.position,
        event: Some(event.id),
        error: "not known yet".to_owned(),
    };
    match filter.matches(event) {
        true if event.event_type.as_str() == "Strange" => Err(not_known()),
        passes => Ok(passes),
    }
}

fn plan(view: &str) -> Plan {
    let table = Table::named(view).key("stream", Kind::Text).column("count", Kind::Integer);
    Plan::new(view, 1, vec![table], "").unwrap()
}

/// A view that serves from the start of an empty log on, and counts what passes the filter.
async fn tally(views: &Views, view: &'static str, filter: Filter) -> Inline {
    let of = views.prepare(&plan(view)).await.unwrap().of;
    let lease = lease(views, &of, 1).await;
    views.take_over(&lease).await.unwrap();
    views.give_back(&lease).await.unwrap();
    inline(of, view, filter)
}

fn inline(of: Generation, view: &'static str, filter: Filter) -> Inline {
    Inline { of, reads: Arc::new(move |event| reads(&filter, event)), fold: Arc::new(Tally(view)) }
}

/// Has these folded within the appends; `false` where the store can't do that.
async fn folds(views: &Views, inline: &[&Inline]) -> bool {
    views.fold_inline(inline.iter().map(|inline| (*inline).clone()).collect()).await.unwrap()
}

fn query(view: &str) -> ViewQuery {
    ViewQuery::of(name(view), 1, view)
}

/// How many events of each stream a view has counted; of all together under the empty name.
async fn counts(views: &Views, view: &str) -> Vec<(String, i64)> {
    let count = |row: &Row| (row.text("stream").unwrap().to_owned(), row.integer("count").unwrap());
    whole(views, query(view)).await.iter().map(count).collect()
}

async fn count(views: &Views, view: &str) -> i64 {
    counts(views, view).await.first().map_or(0, |(_, count)| *count)
}

async fn known_of(views: &Views, inline: &Inline) -> GenerationState {
    state(views, &inline.of).await.expect("the generation is there")
}

/// The checkpoint is at the head, and the counts are those of the log.
async fn is_folded(store: &Store, views: &Views, view: &str) {
    let page = ask(views, &query(view)).await;
    assert_eq!(at(&page.checkpoint), head(store).await, "{view} is not where the log is");
    let events = log(store).await;
    assert_eq!(
        count(views, view).await,
        i64::try_from(events.len()).unwrap(),
        "{view} has counted otherwise"
    );
    let last = events.last().map(|event| (event.position, event.hash));
    assert_eq!(page.checkpoint.folded, last, "{view} does not say what it has folded last");
}

/// What a runner does: the work that folds these events into a generation, or the halt it comes to.
pub(crate) async fn worked(
    views: &dyn flightdeck_store::view::ViewStore,
    inline: &Inline,
    state: &GenerationState,
    lease: Lease,
    events: &[Recorded],
) -> Result<Work, Halt> {
    let mut cache = Cache::of(&state.plan);
    let mut to = state.checkpoint;
    for event in events {
        to.position = event.position;
        if state.skips.contains(&event.position) || !(inline.reads)(event)? {
            continue;
        }
        let poison = |error: FoldError| Halt {
            kind: HaltKind::Poison,
            position: event.position,
            event: Some(event.id),
            error: error.to_string(),
        };
        let keys = inline.fold.keys(event).map_err(poison)?;
        let missing = cache.missing(&keys).map_err(poison)?;
        let rows = views.load(&state.of, missing.clone()).await.unwrap();
        cache.take_in(missing, rows);
        cache.fold(&*inline.fold, event, &keys).map_err(poison)?;
        to.folded = Some((event.position, event.hash));
    }
    Ok(Work { lease, from: state.checkpoint, to, changes: cache.changes() })
}

/// Brings a generation to the head, as a runner does.
async fn catch_up(store: &Store, views: &Views, inline: &Inline) {
    for _ in 0..100 {
        let state = known_of(views, inline).await;
        let events = read(store, LogQuery::after(state.checkpoint.position)).await;
        if events.is_empty() {
            return;
        }
        let lease = views.lease(&inline.of, &holder(1), LONG).await.unwrap().expect("nobody else has it");
        let work = worked(&**views, inline, &state, lease, &events).await.expect("it can be folded");
        let _taken_or_fenced = views.apply(work).await;
    }
    panic!("after a hundred turns it has not caught up");
}

/// What was appended is folded when the append was answered, rows and checkpoint.
pub(crate) async fn folds_before_an_append_is_answered(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    for number in 1..=30 {
        one_each(&store, &[if number % 3 == 0 { "a-1" } else { "b-1" }]).await;
        is_folded(&store, &views, "tally").await;
    }
    let expected = [("", 30), ("a-1", 10), ("b-1", 20)].map(|(stream, count)| (stream.to_owned(), count));
    assert_eq!(counts(&views, "tally").await, expected);
}

/// All events of an append are folded, each on what the one before it left.
pub(crate) async fn folds_all_events_of_an_append(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    for (name, events) in [("a-1", 1), ("b-1", 1_000), ("a-1", 50)] {
        fill(&store, name, events).await;
        is_folded(&store, &views, "tally").await;
    }
    append(&store, [event("a-1"), event("c-1"), event("a-1"), event("$sys-1")]).await;
    is_folded(&store, &views, "tally").await;
    let expected = [("", 1_055), ("$sys-1", 1), ("a-1", 53), ("b-1", 1_000), ("c-1", 1)];
    assert_eq!(counts(&views, "tally").await, expected.map(|(stream, count)| (stream.to_owned(), count)));
}

/// Only what a view reads is folded; its checkpoint is at the head all the same.
pub(crate) async fn folds_only_what_it_reads(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::category(category("a"))).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    for (names, expected) in
        [(&["b-1"][..], 0), (&["a-1"], 1), (&["b-1", "ab-1", "$a-1", "A-1"], 1), (&["b-1", "a-2"], 2)]
    {
        let events: Vec<_> = names.iter().map(|name| event(name)).collect();
        append(&store, events).await;
        assert_eq!(
            at(&ask(&views, &query("tally")).await.checkpoint),
            head(&store).await,
            "behind {names:?}"
        );
        assert_eq!(count(&views, "tally").await, expected, "behind {names:?}");
    }
    let expected = [("", 2), ("a-1", 1), ("a-2", 1)].map(|(stream, count)| (stream.to_owned(), count));
    assert_eq!(counts(&views, "tally").await, expected);
}

/// An event to fail at, that is known by its id.
fn failing(of: &str) -> flightdeck_store::NewEvent {
    typed("a-1", of).with_id(id(13))
}

/// It has halted before that event, and what it counted is what it says it has folded.
async fn stands_before(
    store: &Store,
    views: &Views,
    inline: &Inline,
    kind: HaltKind,
    at: Position,
    event: EventId,
) {
    let state = known_of(views, inline).await;
    let halt = state.halt.expect("it has halted");
    assert_eq!((halt.kind, halt.position, halt.event), (kind, at, Some(event)));
    assert!(state.checkpoint.position < at, "{:?} is not before {at}", state.checkpoint);
    assert!(state.ready && head(store).await >= at.get());
    let counted = count(views, inline.of.view.as_str()).await;
    assert_eq!(counted, state.checkpoint.position.get(), "what failed has left something");
}

/// A fold that fails halts its view before the event, with what was wrong; the append is taken, and so are further ones.
pub(crate) async fn halts_a_view_whose_fold_fails(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    fill(&store, "a-1", 3).await;
    let done = append(&store, [event("a-1"), failing("Bad"), event("a-1")]).await;
    assert_eq!(done.range, Some((position(4), position(6))));
    stands_before(&store, &views, &tally, HaltKind::Poison, position(5), id(13)).await;
    assert!(known_of(&views, &tally).await.halt.is_some_and(|halt| halt.error.contains("not to be counted")));
    fill(&store, "a-1", 3).await;
    assert_eq!(head(&store).await, 9);
    stands_before(&store, &views, &tally, HaltKind::Poison, position(5), id(13)).await;
}

/// An event of which it is said that it is not known yet halts the view before it, for the reason that was said.
pub(crate) async fn halts_before_what_is_not_known(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    fill(&store, "a-1", 2).await;
    append(&store, [failing("Strange")]).await;
    stands_before(&store, &views, &tally, HaltKind::NeedsUpgrade, position(3), id(13)).await;
    assert!(known_of(&views, &tally).await.halt.is_some_and(|halt| halt.error == "not known yet"));
}

/// What a view does not read can't halt it.
pub(crate) async fn overlooks_what_it_does_not_read(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::category(category("b"))).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    append(&store, [event("b-1"), failing("Strange"), typed("a-2", "Bad"), event("b-1")]).await;
    let state = known_of(&views, &tally).await;
    assert_eq!((state.halt, state.checkpoint.position), (None, position(4)));
    assert_eq!(count(&views, "tally").await, 2);
}

/// A fold that fails does nothing to other views: they go on, in the same append and in further ones.
pub(crate) async fn leaves_other_views_alone_when_one_fails(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let before = tally(&views, "before", Filter::category(category("b"))).await;
    let fails = tally(&views, "fails", Filter::ALL).await;
    let behind = tally(&views, "behind", Filter::category(category("b"))).await;
    if !folds(&views, &[&before, &fails, &behind]).await {
        return;
    }
    append(&store, [event("b-1"), failing("Bad"), event("b-2")]).await;
    fill(&store, "b-1", 4).await;
    for view in [&before, &behind] {
        let state = known_of(&views, view).await;
        assert_eq!((state.halt, state.checkpoint.position), (None, position(7)), "{}", view.of);
        assert_eq!(count(&views, view.of.view.as_str()).await, 6, "{}", view.of);
    }
    stands_before(&store, &views, &fails, HaltKind::Poison, position(2), id(13)).await;
}

/// A view that is not where the log was is not folded within the appends, until it has caught up.
pub(crate) async fn goes_on_once_it_has_caught_up(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    fill(&store, "a-1", 500).await;
    fill(&store, "a-1", 500).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    fill(&store, "a-1", 2).await;
    let page = ask(&views, &query("tally")).await;
    let counted = page.rows.first().map_or(0, |row| row.integer("count").unwrap());
    assert_eq!(counted, at(&page.checkpoint), "what it has not folded before can't be passed by");
    catch_up(&store, &views, &tally).await;
    is_folded(&store, &views, "tally").await;
    // Whoever caught up has the lease still.
    for _ in 0..3 {
        fill(&store, "b-1", 2).await;
        is_folded(&store, &views, "tally").await;
    }
}

/// A view that was told to wait is not folded, and goes on when it was told to and has caught up.
pub(crate) async fn waits_while_it_is_paused(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    fill(&store, "a-1", 2).await;
    views.mark(&tally.of, Mark::Pause).await.unwrap();
    for _ in 0..3 {
        fill(&store, "a-1", 2).await;
        let page = ask(&views, &query("tally")).await;
        assert_eq!((at(&page.checkpoint), count(&views, "tally").await), (2, 2));
    }
    views.mark(&tally.of, Mark::Resume).await.unwrap();
    catch_up(&store, &views, &tally).await;
    fill(&store, "a-1", 2).await;
    is_folded(&store, &views, "tally").await;
}

/// A view that left out what halted it goes on once it has caught up.
pub(crate) async fn goes_on_behind_what_it_was_told_to_leave_out(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    append(&store, [event("a-1")]).await;
    append(&store, [failing("Bad")]).await;
    append(&store, [event("a-1")]).await;
    views.mark(&tally.of, Mark::Skip(position(2))).await.unwrap();
    catch_up(&store, &views, &tally).await;
    fill(&store, "a-1", 2).await;
    let state = known_of(&views, &tally).await;
    assert_eq!((state.halt, state.checkpoint.position, state.skips), (None, position(5), vec![position(2)]));
    assert_eq!(count(&views, "tally").await, 4);
}

/// An append that is refused, or that was done before, folds nothing.
pub(crate) async fn folds_nothing_of_what_was_not_appended(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    let once = || Append::of([event("a-1"), event("a-1")]).with_request(request("caller", "key", 1));
    store.append(once()).await.unwrap();
    for _ in 0..2 {
        assert!(store.append(once()).await.unwrap().duplicate);
        let stale = Append::of([event("a-1")]).expecting(stream("a-1"), Expected::NoStream);
        assert!(store.append(stale).await.is_err());
        store.append(Append::of([])).await.unwrap();
        is_folded(&store, &views, "tally").await;
    }
    fill(&store, "a-1", 1).await;
    is_folded(&store, &views, "tally").await;
    assert_eq!(count(&views, "tally").await, 3);
}

/// What is asked to be folded takes the place of what was asked before.
pub(crate) async fn takes_the_place_of_what_was_asked_before(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let one = tally(&views, "one", Filter::ALL).await;
    let other = tally(&views, "other", Filter::ALL).await;
    if !folds(&views, &[&one]).await {
        return;
    }
    fill(&store, "a-1", 2).await;
    catch_up(&store, &views, &other).await;
    assert!(folds(&views, &[&other]).await);
    fill(&store, "a-1", 2).await;
    assert_eq!((count(&views, "one").await, count(&views, "other").await), (2, 4));
    assert!(folds(&views, &[]).await);
    fill(&store, "a-1", 2).await;
    assert_eq!((count(&views, "one").await, count(&views, "other").await), (2, 4));
    assert_eq!(head(&store).await, 6);
}

/// While many append, whoever asks sees rows and checkpoint of one moment, and at the end everything is folded once.
pub(crate) async fn is_seen_whole_while_many_append(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let tally = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&tally]).await {
        return;
    }
    let done = Arc::default();
    let asker = asking(&views, query("tally"), &done, |page| {
        let counted = page.rows.first().map_or(0, |row| row.integer("count").unwrap());
        assert_eq!(counted, at(&page.checkpoint), "rows and checkpoint are not of one moment");
    });
    let writers = at_once(6, |writer| {
        let (store, views) = (Arc::clone(&store), Arc::clone(&views));
        async move {
            for _ in 0..15 {
                let appended = fill(&store, &format!("own-{writer}"), 2).await;
                let folded = at(&ask(&views, &query("tally")).await.checkpoint);
                assert!(folded >= appended.cursor.position().get(), "an append was answered and not folded");
            }
        }
    });
    writers.await;
    done.store(true, Ordering::SeqCst);
    asker.await.expect("every answer was whole");
    is_folded(&store, &views, "tally").await;
    assert!(counts(&views, "tally").await[1..].iter().all(|(_, count)| *count == 30));
}

/// It goes on when the store is opened again, once it was asked for again.
pub(crate) async fn goes_on_after_reopening(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let before = tally(&views, "tally", Filter::ALL).await;
    if !folds(&views, &[&before]).await {
        return;
    }
    fill(&store, "a-1", 3).await;
    let of = before.of.clone();
    drop(before);
    let (store, views) = reopen(subject, store, views).await;
    is_folded(&store, &views, "tally").await;
    assert!(folds(&views, &[&inline(of, "tally", Filter::ALL)]).await);
    fill(&store, "a-1", 3).await;
    is_folded(&store, &views, "tally").await;
    assert_ne!(ask(&views, &query("tally")).await.checkpoint, Checkpoint::START);
}
