//! Work: rows and checkpoint move together or not at all, and nothing is folded twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flightdeck_store::chain::Hash;
use flightdeck_store::view::{
    Checkpoint, GenerationState, HaltKind, Lease, Row, ViewError, ViewPage, ViewQuery, Work,
};

use crate::given::{at_once, position};
use crate::view::ViewSubject;
use crate::view::given::{
    Folder, Views, ask, at, checkpoint, halt, ids, lease, name, numbers, of, plan, serving, states, whole,
};

/// How often somebody looks while others work.
const LOOKS_MAX: usize = 200_000;

/// Asks again and again until `done` or until it has asked often, and hands every answer to `look`.
pub(super) fn asking(
    views: &Views,
    query: ViewQuery,
    done: &Arc<AtomicBool>,
    look: impl Fn(&ViewPage) + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let (views, done) = (Arc::clone(views), Arc::clone(done));
    tokio::spawn(async move {
        let mut seen = 0;
        for _ in 0..LOOKS_MAX {
            let last = done.load(Ordering::SeqCst);
            let page = ask(&views, &query).await;
            assert!(at(&page.checkpoint) >= seen, "an answer went back from {seen} to {:?}", page.checkpoint);
            seen = at(&page.checkpoint);
            look(&page);
            if last {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
}

/// Every row has the position of the checkpoint for its number.
pub(super) fn is_whole(page: &ViewPage, rows: usize) {
    let expected = vec![Some(at(&page.checkpoint)); rows];
    assert_eq!(numbers(&page.rows), expected, "rows and checkpoint are not of one piece of work");
}

/// So many rows with the same number.
pub(super) fn alike(folder: &Folder, rows: usize, number: i64) -> Vec<Row> {
    (0..rows).map(|row| folder.thing(&format!("{row:03}"), &[("number", number.into())])).collect()
}

/// Work puts its rows and moves the checkpoint, of position and of what was folded last.
pub(crate) async fn puts_rows_and_moves_the_checkpoint(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let row = folder.thing("a", &[("number", 1.into())]);
    folder.fold(5, std::slice::from_ref(&row), &[]).await;
    assert_eq!(folder.state().await.checkpoint, checkpoint(5));
    assert_eq!(folder.loaded(&["a"]).await, std::slice::from_ref(&row));
    let page = ask(&views, &of("shelf")).await;
    assert_eq!((page.rows, page.checkpoint), (vec![row], checkpoint(5)));
}

/// Work that changes no row moves the checkpoint too, also where nothing was there to be folded.
pub(crate) async fn of_no_rows_moves_the_checkpoint(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let nothing_yet = Checkpoint { position: position(3), folded: None };
    views.apply(Work { to: nothing_yet, ..folder.work(3, &[], &[]) }).await.unwrap();
    assert_eq!(folder.state().await.checkpoint, nothing_yet);
    folder.at = nothing_yet;
    folder.fold(4, &[folder.thing("a", &[])], &[]).await;
    let passed_by = Checkpoint { position: position(900), ..checkpoint(4) };
    views.apply(Work { to: passed_by, ..folder.work(900, &[], &[]) }).await.unwrap();
    folder.take_over().await;
    let page = ask(&views, &of("shelf")).await;
    assert_eq!((page.rows.len(), page.checkpoint), (1, passed_by));
}

/// A row takes the place of the one with its key, with all of its cells.
pub(crate) async fn puts_a_row_over_the_one_before(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let told = [("a", &[("number", 1.into()), ("text", "one".into())][..]), ("b", &[("number", 1.into())])];
    let mut folder = serving(&views, &plan("shelf", 1), &told).await;
    let row = folder.thing("a", &[("number", 2.into()), ("flag", true.into())]);
    folder.put(std::slice::from_ref(&row)).await;
    assert_eq!(ask(&views, &of("shelf")).await.rows, [row, folder.thing("b", &[("number", 1.into())])]);
}

/// A removed row is gone, and can be put again; one that is not there can be removed.
pub(crate) async fn removes_rows(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[("a", &[]), ("b", &[]), ("c", &[])]).await;
    folder.remove(&[folder.thing("a", &[]), folder.thing("c", &[]), folder.thing("never", &[])]).await;
    assert_eq!(ids(&views, of("shelf")).await, ["b"]);
    assert_eq!(folder.loaded(&["a", "c"]).await, []);
    folder.fold(3, &[folder.thing("c", &[("number", 3.into())])], &[folder.thing("b", &[])]).await;
    assert_eq!(numbers(&whole(&views, of("shelf")).await), [Some(3)]);
    assert_eq!(folder.state().await.checkpoint, checkpoint(3));
}

/// Work that is done takes a halt off; work that is refused leaves it.
pub(crate) async fn takes_a_halt_off(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    for (at, kind) in (1..).zip([HaltKind::Poison, HaltKind::NeedsUpgrade, HaltKind::Corrupt]) {
        let halt = halt(kind, at);
        views.halt(&folder.lease, &halt).await.unwrap();
        let elsewhere = Work { from: checkpoint(70), ..folder.work(71, &[], &[]) };
        assert!(views.apply(elsewhere).await.is_err());
        assert_eq!(folder.state().await.halt, Some(halt));
        folder.fold(at, &[folder.thing("a", &[])], &[]).await;
        assert_eq!(folder.state().await.halt, None);
    }
}

/// One piece of work changes several tables.
pub(crate) async fn changes_several_tables(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let part = |order| folder.part("a", order, "part");
    let (one, two) = (part(1), part(2));
    folder.put(&[one.clone(), folder.thing("b", &[])]).await;
    folder.fold(3, std::slice::from_ref(&two), &[folder.thing("a", &[]), one]).await;
    assert_eq!(ids(&views, of("shelf")).await, ["b"]);
    let parts = ViewQuery::of(name("shelf"), 1, "shelf_parts");
    assert_eq!(whole(&views, parts).await, [two]);
}

/// Everything that can be seen of a generation, for where nothing may have changed.
async fn seen(folder: &Folder) -> (Vec<Row>, Vec<GenerationState>) {
    (folder.load(vec![(0, vec![]), (1, vec![])]).await, states(&folder.views).await)
}

/// Work by another token than the generation's is refused as fenced, and nothing changes.
pub(crate) async fn is_refused_by_another_token(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let late = first.handed_to(2).await;
    let folder = late.handed_to(3).await;
    let before = seen(&folder).await;
    for token in [first.lease.token, late.lease.token, folder.lease.token + 1] {
        let work = folder.work(2, &[folder.thing("b", &[])], &[folder.thing("a", &[])]);
        let work = Work { lease: Lease { token, ..folder.lease.clone() }, ..work };
        let refused = views.apply(work).await;
        assert!(matches!(refused, Err(ViewError::Fenced)), "{refused:?}");
        assert_eq!(seen(&folder).await, before);
    }
}

/// Work that begins at another checkpoint is refused as fenced, whatever differs of it, and nothing changes.
pub(crate) async fn is_refused_from_another_checkpoint(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    folder.fold(4, &[], &[]).await;
    let stands = Checkpoint { position: position(6), ..checkpoint(4) };
    views.apply(Work { to: stands, ..folder.work(6, &[], &[]) }).await.unwrap();
    let before = seen(&folder).await;
    for from in [
        Checkpoint::START,
        checkpoint(4),
        checkpoint(6),
        Checkpoint { position: position(5), ..stands },
        Checkpoint { position: position(7), ..stands },
        Checkpoint { folded: None, ..stands },
        Checkpoint { folded: Some((position(3), Hash::from_bytes([4; 32]))), ..stands },
        Checkpoint { folded: Some((position(4), Hash::from_bytes([5; 32]))), ..stands },
    ] {
        let work = folder.work(8, &[folder.thing("b", &[])], &[folder.thing("a", &[])]);
        let refused = views.apply(Work { from, ..work }).await;
        assert!(matches!(refused, Err(ViewError::Fenced)), "{from:?}: {refused:?}");
        assert_eq!(seen(&folder).await, before, "{from:?}");
    }
    folder.at = stands;
    folder.fold(8, &[folder.thing("b", &[])], &[]).await;
    assert_eq!(ids(&views, of("shelf")).await, ["a", "b"]);
}

/// Work from the checkpoint before the first event is refused where something was folded, and the other way round.
pub(crate) async fn is_refused_when_only_one_of_both_has_begun(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    for from in [
        checkpoint(1),
        Checkpoint { folded: None, ..checkpoint(1) },
        Checkpoint { position: position(0), ..checkpoint(1) },
    ] {
        let refused = views.apply(Work { from, ..folder.work(2, &[folder.thing("b", &[])], &[]) }).await;
        assert!(matches!(refused, Err(ViewError::Fenced)), "{from:?}: {refused:?}");
    }
    assert_eq!(seen(&folder).await.0, []);
    views.apply(folder.work(2, &[], &[])).await.unwrap();
    let again = views.apply(folder.work(2, &[folder.thing("b", &[])], &[])).await;
    assert!(matches!(again, Err(ViewError::Fenced)), "{again:?}");
    assert_eq!(seen(&folder).await.0, []);
}

/// Of the same work that comes many times at once, one is taken.
pub(crate) async fn is_taken_once_when_it_comes_many_times_at_once(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    for round in 2..12 {
        let works: Vec<Work> = (0..8)
            .map(|by| folder.work(round, &[folder.thing("a", &[("number", by.into())])], &[]))
            .collect();
        let taken = at_once(8, |by| {
            let (views, work) = (Arc::clone(&views), works[by].clone());
            async move { views.apply(work).await.map(|()| by) }
        });
        let taken = taken.await;
        let by: Vec<usize> = taken.iter().filter_map(|taken| taken.as_ref().ok().copied()).collect();
        assert_eq!(by.len(), 1, "{taken:?}");
        assert!(taken.iter().all(|taken| matches!(taken, Ok(_) | Err(ViewError::Fenced))), "{taken:?}");
        assert_eq!(numbers(&folder.loaded(&["a"]).await), [i64::try_from(by[0]).ok()]);
        folder.at = checkpoint(round);
    }
}

/// Whoever asks, at whatever moment, sees rows and checkpoint as one piece of work left them, and never goes back.
pub(crate) async fn is_seen_whole_by_whoever_asks(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    folder.put(&alike(&folder, 30, 1)).await;
    folder.take_over().await;
    let done = Arc::default();
    let by_number = of("shelf").sorted("number", true);
    let askers: Vec<_> = [of("shelf"), by_number]
        .into_iter()
        .map(|query| asking(&views, query, &done, |page| is_whole(page, 30)))
        .collect();
    for number in 2..=80 {
        folder.put(&alike(&folder, 30, number)).await;
    }
    done.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.expect("every answer was whole");
    }
}

/// Work whose caller goes away in the middle is done whole or not at all.
pub(crate) async fn is_whole_or_nothing_when_its_caller_goes_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    folder.put(&alike(&folder, 20, 1)).await;
    folder.take_over().await;
    for round in 2..40 {
        let work = folder.work(round, &alike(&folder, 20, round), &[]);
        let applies = tokio::spawn({
            let views = Arc::clone(&views);
            async move { views.apply(work).await }
        });
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        applies.abort();
        let _gone = applies.await;
        is_whole(&ask(&views, &of("shelf")).await, 20);
        // What was left to its fate may still be done: this work comes before it or behind it, and is fenced then.
        let again = folder.work(round, &alike(&folder, 20, round), &[]);
        let again = views.apply(again).await;
        assert!(matches!(again, Ok(()) | Err(ViewError::Fenced)), "{again:?}");
        folder.at = checkpoint(round);
    }
    is_whole(&ask(&views, &of("shelf")).await, 20);
}

/// Work of thousands of rows is taken while the generation is being built, and puts and removes all of them.
pub(crate) async fn may_be_large_while_nobody_sees_it(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let limits = views.work_limits();
    assert!(
        limits.rows >= 1 && limits.building_rows >= limits.rows && limits.building_bytes >= 1,
        "{limits:?}"
    );
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let many = limits.building_rows.min(6_000);
    let row = |number: usize| {
        let number = i64::try_from(number).unwrap();
        folder.thing(&format!("{number:05}"), &[("number", number.into()), ("text", "one of many".into())])
    };
    let rows: Vec<Row> = (0..many).map(row).collect();
    folder.put(&rows).await;
    assert!(folder.load(vec![(0, vec![])]).await == rows, "other rows are there than were put");
    let (gone, kept) = rows.split_at(many / 2);
    folder.remove(gone).await;
    folder.put(kept).await;
    folder.tend().await;
    folder.take_over().await;
    assert!(whole(&views, of("shelf")).await == kept, "other rows are there than were left");
    assert_eq!(whole(&views, of("shelf").text("many")).await.len(), kept.len());
}

/// Work as large as the limit says is taken while the generation serves.
pub(crate) async fn may_be_as_large_as_the_limit_says(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let many = views.work_limits().rows.min(6_000);
    let rows: Vec<Row> = (0..many).map(|row| folder.thing(&format!("{row:05}"), &[])).collect();
    folder.put(&rows).await;
    assert!(whole(&views, of("shelf")).await == rows, "other rows are there than were put");
    folder.remove(&rows).await;
    assert_eq!(whole(&views, of("shelf")).await, []);
    assert!(views.give_back(&folder.lease).await.is_ok());
    lease(&views, folder.generation(), 2).await;
}
