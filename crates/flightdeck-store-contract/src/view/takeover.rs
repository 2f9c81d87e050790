//! Taking over: a generation that has caught up becomes ready, and what is asked never goes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flightdeck_store::view::{HaltKind, TakenOver, ViewQuery};

use crate::given::position;
use crate::view::ViewSubject;
use crate::view::given::{Folder, Views, ask, generation, halt, ids, of, plan, serving, state, states};
use crate::view::work::{alike, asking, is_whole};

/// Of which build and number an answer is.
async fn answers(views: &Views, number: u32) -> (u32, u32) {
    let of = ask(views, &ViewQuery { number, ..of("shelf") }).await.of;
    (of.number, of.build)
}

/// Which generations serve.
async fn serve(views: &Views) -> Vec<(u32, u32)> {
    let serving = states(views).await.into_iter().filter(|state| state.serving);
    serving.map(|state| (state.of.number, state.of.build)).collect()
}

/// A view that serves as number 1, folded so far.
async fn folded_to(views: &Views, to: i64) -> Folder {
    let mut folder = serving(views, &plan("shelf", 1), &[("old", &[])]).await;
    folder.fold(to, &[], &[]).await;
    folder
}

/// The first generation of a view becomes ready and serves, also before the first event.
pub(crate) async fn makes_it_ready_and_lets_it_serve(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    assert_eq!(views.take_over(&folder.lease).await.unwrap(), TakenOver::Done);
    let state = folder.state().await;
    assert_eq!((state.ready, state.serving), (true, true));
    assert_eq!(ids(&views, of("shelf")).await, [""; 0]);
}

/// A higher number that takes over serves in place of the one before, which stays ready.
pub(crate) async fn lets_a_higher_number_serve(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    folded_to(&views, 5).await;
    let mut next = Folder::first(&views, &plan("shelf", 2)).await;
    next.fold(5, &[next.thing("new", &[])], &[]).await;
    assert_eq!((serve(&views).await, answers(&views, 2).await), (vec![(1, 1)], (1, 1)));
    next.take_over().await;
    assert_eq!(serve(&views).await, [(2, 1)]);
    assert!(state(&views, &generation("shelf", 1, 1)).await.is_some_and(|state| state.ready));
    assert_eq!(ids(&views, ViewQuery { number: 2, ..of("shelf") }).await, ["new"]);
}

/// A lower number stays and goes on answering for itself; a number that nobody has made is answered by what serves.
pub(crate) async fn leaves_a_lower_number_to_its_own(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut first = folded_to(&views, 5).await;
    let mut next = Folder::first(&views, &plan("shelf", 3)).await;
    next.fold(5, &[next.thing("new", &[])], &[]).await;
    next.take_over().await;
    assert_eq!((answers(&views, 1).await, answers(&views, 3).await), ((1, 1), (3, 1)));
    assert_eq!((answers(&views, 2).await, answers(&views, 9).await), ((3, 1), (3, 1)));
    first.fold(6, &[first.thing("more", &[])], &[]).await;
    assert_eq!(ids(&views, of("shelf")).await, ["more", "old"]);
}

/// Earlier builds of the same number are thrown away, and no other generation is.
pub(crate) async fn throws_earlier_builds_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = folded_to(&views, 1).await;
    serving(&views, &plan("shelf", 2), &[]).await;
    serving(&views, &plan("stall", 1), &[]).await;
    let mut again = Folder::again(&views, &plan("shelf", 1)).await;
    again.put(&[again.thing("new", &[])]).await;
    assert_eq!(states(&views).await.len(), 4);
    again.take_over().await;
    assert_eq!(state(&views, first.generation()).await, None);
    assert_eq!(states(&views).await.len(), 3);
    assert_eq!(ids(&views, of("shelf")).await, ["new"]);
}

/// A build that takes over serves in place of the one before.
pub(crate) async fn lets_a_further_build_serve(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    folded_to(&views, 2).await;
    for round in 2..5 {
        let mut again = Folder::again(&views, &plan("shelf", 1)).await;
        let build = again.generation().build;
        again.fold(round, &[again.thing(&format!("of {round}"), &[])], &[]).await;
        again.take_over().await;
        assert_eq!((serve(&views).await, answers(&views, 1).await), (vec![(1, build)], (1, build)));
        assert_eq!(ids(&views, of("shelf")).await, [format!("of {round}")]);
    }
}

/// A build of a lower number becomes ready for whoever asks for it, and does not serve over a higher one.
pub(crate) async fn of_a_lower_number_does_not_serve(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    folded_to(&views, 5).await;
    let mut next = Folder::first(&views, &plan("shelf", 2)).await;
    next.fold(5, &[], &[]).await;
    next.take_over().await;
    let mut again = Folder::again(&views, &plan("shelf", 1)).await;
    let build = again.generation().build;
    again.fold(5, &[again.thing("again", &[])], &[]).await;
    again.take_over().await;
    let state = again.state().await;
    assert_eq!((state.ready, state.serving, serve(&views).await), (true, false, vec![(2, 1)]));
    assert_eq!((answers(&views, 1).await, answers(&views, 2).await), ((1, build), (2, 1)));
}

/// It is put off while the one that serves has come further, and says how far; at the same place it is not.
pub(crate) async fn waits_while_the_one_before_is_ahead(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    folded_to(&views, 5).await;
    let again = Folder::again(&views, &plan("shelf", 1)).await;
    let next = Folder::first(&views, &plan("shelf", 2)).await;
    for mut folder in [again, next] {
        for to in [3, 4] {
            folder.fold(to, &[folder.thing("new", &[])], &[]).await;
            let before = states(&views).await;
            let put_off = views.take_over(&folder.lease).await.unwrap();
            assert_eq!(put_off, TakenOver::Behind(position(5)));
            assert_eq!(states(&views).await, before, "nothing has changed");
            assert_eq!(ids(&views, of("shelf")).await, ["old"]);
        }
    }
    let mut next = Folder::first(&views, &plan("shelf", 2)).await;
    next.fold(5, &[], &[]).await;
    next.take_over().await;
    assert_eq!(serve(&views).await, [(2, 1)]);
}

/// It is put off also while the one that serves and has come further does not go on.
pub(crate) async fn waits_for_one_that_has_halted(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = folded_to(&views, 5).await;
    let mut again = Folder::again(&views, &plan("shelf", 1)).await;
    again.fold(4, &[], &[]).await;
    for kind in [HaltKind::Poison, HaltKind::NeedsUpgrade, HaltKind::Corrupt] {
        views.halt(&first.lease, &halt(kind, 6)).await.unwrap();
        assert_eq!(views.take_over(&again.lease).await.unwrap(), TakenOver::Behind(position(5)), "{kind:?}");
    }
}

/// One that has diverged does not count, however far it has come: neither a build before nor a lower number.
pub(crate) async fn does_not_wait_for_one_that_has_diverged(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = folded_to(&views, 5).await;
    views.halt(&first.lease, &halt(HaltKind::Diverged, 2)).await.unwrap();
    let mut again = Folder::again(&views, &plan("shelf", 1)).await;
    again.fold(1, &[again.thing("new", &[])], &[]).await;
    again.take_over().await;
    assert_eq!(ids(&views, of("shelf")).await, ["new"]);
    again.fold(7, &[], &[]).await;
    views.halt(&again.lease, &halt(HaltKind::Diverged, 2)).await.unwrap();
    let mut next = Folder::first(&views, &plan("shelf", 2)).await;
    next.fold(3, &[], &[]).await;
    next.take_over().await;
    assert_eq!(serve(&views).await, [(2, 1)]);
}

/// For whoever asks it is one step: there is always an answer, whole, of one generation or the other, and none goes back.
pub(crate) async fn is_one_step_for_whoever_asks(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut first = Folder::first(&views, &plan("shelf", 1)).await;
    first.put(&alike(&first, 30, 1)).await;
    first.take_over().await;
    let done = Arc::default();
    let second = ViewQuery { number: 2, ..of("shelf") };
    let askers: Vec<_> = [of("shelf"), second]
        .into_iter()
        .map(|query| asking(&views, query, &done, |page| is_whole(page, 30)))
        .collect();
    for round in 2..=12 {
        // Higher numbers take over too, but for the asker of number 1 only its own builds count.
        let number = if round % 4 == 0 { 2 } else { 1 };
        let mut again = match round {
            4 => Folder::first(&views, &plan("shelf", number)).await,
            _ => Folder::again(&views, &plan("shelf", number)).await,
        };
        again.fold(round, &alike(&again, 30, round), &[]).await;
        again.take_over().await;
    }
    done.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.expect("every answer was whole");
    }
}
