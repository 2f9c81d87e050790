//! Halts and marks: why a generation does not go on, and what it is told.

use flightdeck_store::view::{Generation, Halt, HaltKind, Mark, ViewError};

use crate::given::position;
use crate::view::ViewSubject;
use crate::view::given::{Folder, Views, ask, checkpoint, generation, halt, ids, of, plan, serving};

const KINDS: [HaltKind; 5] =
    [HaltKind::Poison, HaltKind::NeedsUpgrade, HaltKind::Corrupt, HaltKind::Diverged, HaltKind::Refused];

async fn skip(views: &Views, of: &Generation, at: i64) -> Result<(), ViewError> {
    views.mark(of, Mark::Skip(position(at))).await
}

/// Why a generation does not go on is kept as it was said, of every kind; the newest reason counts.
pub(crate) async fn keeps_why_it_has_halted(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    assert_eq!(folder.state().await.halt, None);
    for (kind, at) in KINDS.into_iter().zip(3..) {
        let said = halt(kind, at);
        let unread = Halt { event: None, error: String::new(), ..said.clone() };
        for halt in [said, unread] {
            views.halt(&folder.lease, &halt).await.unwrap();
            assert_eq!(folder.state().await.halt, Some(halt));
        }
    }
}

/// What was folded before a halt stays, and goes on answering.
pub(crate) async fn leaves_what_was_folded_when_it_has_halted(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    for kind in KINDS {
        views.halt(&folder.lease, &halt(kind, 2)).await.unwrap();
        let state = folder.state().await;
        assert_eq!((state.checkpoint, state.ready, state.serving), (checkpoint(1), true, true));
        assert_eq!(ids(&views, of("shelf")).await, ["a"]);
        assert_eq!(ask(&views, &of("shelf")).await.checkpoint, checkpoint(1));
    }
}

/// A generation waits when it was told to, until it is told to go on, and answers all the while.
pub(crate) async fn pauses_and_resumes(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    for (mark, paused) in
        [(Mark::Pause, true), (Mark::Pause, true), (Mark::Resume, false), (Mark::Resume, false)]
    {
        views.mark(folder.generation(), mark.clone()).await.unwrap();
        assert_eq!(folder.state().await.paused, paused, "{mark:?}");
        assert_eq!(ids(&views, of("shelf")).await, ["a"]);
    }
}

/// What is told to go on goes on also where it had come to a halt.
pub(crate) async fn resumes_what_has_halted(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    for kind in KINDS {
        views.halt(&folder.lease, &halt(kind, 2)).await.unwrap();
        views.mark(folder.generation(), Mark::Pause).await.unwrap();
        assert_eq!(folder.state().await.halt, Some(halt(kind, 2)), "waiting is no reason to go on");
        views.mark(folder.generation(), Mark::Resume).await.unwrap();
        let state = folder.state().await;
        assert_eq!((state.halt, state.paused, state.skips), (None, false, vec![]), "{kind:?}");
    }
}

/// An event is left out for good, and the generation goes on; those that were left out before stay so.
pub(crate) async fn skips_for_good(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let mut expected = Vec::new();
    for (kind, at) in [(HaltKind::Poison, 3), (HaltKind::Corrupt, 9)] {
        views.halt(&folder.lease, &halt(kind, at)).await.unwrap();
        skip(&views, folder.generation(), at).await.unwrap();
        expected.push(position(at));
        let state = folder.state().await;
        assert_eq!((state.halt, &state.skips), (None, &expected));
        folder.fold(at, &[], &[]).await;
    }
    views.mark(folder.generation(), Mark::Pause).await.unwrap();
    views.mark(folder.generation(), Mark::Resume).await.unwrap();
    folder.take_over().await;
    assert_eq!(folder.state().await.skips, expected);
}

/// To leave out an event can only be told of the one that it stands before: nothing else changes anything.
pub(crate) async fn skips_only_where_it_stands(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    folder.put(&[]).await;
    let refused = skip(&views, folder.generation(), 2).await;
    assert!(
        matches!(refused, Err(ViewError::NotHalted(at)) if at == position(2)),
        "it stands nowhere: {refused:?}"
    );
    views.halt(&folder.lease, &halt(HaltKind::Poison, 5)).await.unwrap();
    for elsewhere in [1, 4, 6] {
        let refused = skip(&views, folder.generation(), elsewhere).await;
        assert!(matches!(refused, Err(ViewError::NotHalted(at)) if at == position(elsewhere)), "{refused:?}");
        assert_eq!(folder.state().await.halt, Some(halt(HaltKind::Poison, 5)));
    }
    skip(&views, folder.generation(), 5).await.unwrap();
    let again = skip(&views, folder.generation(), 5).await;
    assert!(matches!(again, Err(ViewError::NotHalted(_))), "it has gone on: {again:?}");
    assert_eq!(folder.state().await.skips, [position(5)]);
}

/// Where no event is to blame, or a newer program will read it, there is none to leave out.
pub(crate) async fn skips_nothing_where_no_event_is_to_blame(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    for kind in [HaltKind::Diverged, HaltKind::Refused, HaltKind::NeedsUpgrade] {
        views.halt(&folder.lease, &halt(kind, 5)).await.unwrap();
        let refused = skip(&views, folder.generation(), 5).await;
        assert!(matches!(refused, Err(ViewError::NotHalted(_))), "{kind:?}: {refused:?}");
        let state = folder.state().await;
        assert_eq!((state.halt, state.skips), (Some(halt(kind, 5)), vec![]));
    }
}

/// What is not there can be told nothing.
pub(crate) async fn of_what_is_not_there_is_refused(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    for of in [generation("shelf", 1, 2), generation("shelf", 2, 1), generation("stall", 1, 1)] {
        for mark in [Mark::Pause, Mark::Resume, Mark::Skip(position(1))] {
            let refused = views.mark(&of, mark).await;
            assert!(matches!(refused, Err(ViewError::Unknown(_))), "{of}: {refused:?}");
        }
    }
    assert!(!folder.state().await.paused);
}
