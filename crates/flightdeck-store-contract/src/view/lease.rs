//! Leases: one folds at a time, and who wakes up late does no harm.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_store::view::{Generation, HaltKind, Lease, ViewError};

use crate::given::at_once;
use crate::view::ViewSubject;
use crate::view::given::{
    Folder, LONG, SHORT, Views, generation, halt, holder, ids, lease, of, plan, reopen, serving, state,
};

/// How often something is looked at that is about to come, once in five milliseconds.
const LOOKS_MAX: usize = 2_000;
const A_LITTLE: Duration = Duration::from_millis(5);

async fn shelf(views: &Views) -> Generation {
    views.prepare(&plan("shelf", 1)).await.unwrap().of
}

/// Waits until nobody holds the lease, and says nothing to whoever held it.
async fn lapses(views: &Views, of: &Generation) {
    for _ in 0..LOOKS_MAX {
        if state(views, of).await.unwrap().holder.is_none() {
            return;
        }
        tokio::time::sleep(A_LITTLE).await;
    }
    panic!("a lease of {SHORT:?} has not run out");
}

/// Asks until the lease is to be had.
async fn waits_for(views: &Views, of: &Generation, by: u128) -> Lease {
    for _ in 0..LOOKS_MAX {
        if let Some(lease) = views.lease(of, &holder(by), LONG).await.unwrap() {
            return lease;
        }
        tokio::time::sleep(A_LITTLE).await;
    }
    panic!("a lease of {SHORT:?} has not run out");
}

/// Of many who ask at the same time one gets the lease.
pub(crate) async fn is_had_by_one_of_many(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for number in 1..=5 {
        let of = views.prepare(&plan("shelf", number)).await.unwrap().of;
        let had = at_once(8, |by| {
            let (views, of) = (Arc::clone(&views), of.clone());
            async move { views.lease(&of, &holder(by as u128), LONG).await.unwrap() }
        });
        let had: Vec<Lease> = had.await.into_iter().flatten().collect();
        assert_eq!(had.len(), 1, "{had:?}");
        assert_eq!(
            (&had[0].of, state(&views, &of).await.unwrap().holder.as_ref()),
            (&of, Some(&had[0].holder))
        );
    }
}

/// Who has the lease keeps it by asking again, with the same token, and for that long from then on.
pub(crate) async fn is_kept_by_asking_again(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    let first = views.lease(&of, &holder(1), SHORT).await.unwrap().unwrap();
    let again = lease(&views, &of, 1).await;
    assert_eq!(again, first);
    let deadline = tokio::time::Instant::now() + 2 * SHORT;
    while tokio::time::Instant::now() < deadline {
        assert_eq!(views.lease(&of, &holder(2), LONG).await.unwrap(), None);
        tokio::time::sleep(A_LITTLE).await;
    }
}

/// Nobody else gets the lease until it has run out, which it does by itself.
pub(crate) async fn is_nobody_elses_until_it_has_run_out(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    lease(&views, &of, 1).await;
    for by in 2..5 {
        assert_eq!(views.lease(&of, &holder(by), LONG).await.unwrap(), None);
    }
    let other = views.prepare(&plan("stall", 1)).await.unwrap().of;
    views.lease(&other, &holder(1), SHORT).await.unwrap().unwrap();
    assert_eq!(waits_for(&views, &other, 2).await.holder, holder(2));
    assert_eq!(views.lease(&other, &holder(1), LONG).await.unwrap(), None, "now it is the other one's");
}

/// A lease that was given back is free at once.
pub(crate) async fn is_free_when_given_back(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    let first = lease(&views, &of, 1).await;
    views.give_back(&first).await.unwrap();
    assert_eq!(state(&views, &of).await.unwrap().holder, None);
    assert_eq!(lease(&views, &of, 2).await.holder, holder(2));
}

/// The token rises whenever the lease changes hands, by giving it back and by running out.
pub(crate) async fn has_a_token_that_rises(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    let mut before = lease(&views, &of, 1).await;
    for by in 2..5 {
        views.give_back(&before).await.unwrap();
        let next = lease(&views, &of, by).await;
        assert!(next.token > before.token, "{next:?} came behind {before:?}");
        before = next;
    }
    views.lease(&of, &before.holder, SHORT).await.unwrap().unwrap();
    assert!(waits_for(&views, &of, 9).await.token > before.token);
}

/// A lease that is given back when someone else has it stays with that one.
pub(crate) async fn given_back_late_stays_where_it_is(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    let late = lease(&views, &of, 1).await;
    views.give_back(&late).await.unwrap();
    lease(&views, &of, 2).await;
    views.give_back(&late).await.unwrap();
    assert_eq!(state(&views, &of).await.unwrap().holder, Some(holder(2)));
    assert_eq!(views.lease(&of, &holder(3), LONG).await.unwrap(), None);
}

/// A lease is of one generation: those of another build, number or view are to be had.
pub(crate) async fn is_of_one_generation(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = serving(&views, &plan("shelf", 1), &[]).await;
    for plan in [plan("shelf", 2), plan("stall", 1)] {
        let of = views.prepare(&plan).await.unwrap().of;
        assert_eq!(lease(&views, &of, 2).await.of, of);
    }
    let build = views.begin_build(&plan("shelf", 1)).await.unwrap().of;
    assert_eq!(lease(&views, &build, 2).await.of, build);
    assert_eq!(first.state().await.holder, Some(holder(1)));
}

/// A lease that has run out is still good as long as nobody else took it.
pub(crate) async fn is_good_until_someone_else_has_it(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    views.lease(folder.generation(), &holder(1), SHORT).await.unwrap().unwrap();
    lapses(&views, folder.generation()).await;
    folder.put(&[folder.thing("late", &[])]).await;
    views.halt(&folder.lease, &halt(HaltKind::Poison, 2)).await.unwrap();
    folder.take_over().await;
    assert_eq!(ids(&views, of("shelf")).await, ["late"]);
}

/// A lease that someone else has got since is good for nothing: work, halt and taking over are refused as fenced.
pub(crate) async fn that_someone_else_has_is_good_for_nothing(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let late = Folder::first(&views, &plan("shelf", 1)).await;
    let mut folder = late.handed_to(2).await;
    let before = folder.state().await;
    let refused = [
        views.apply(late.work(1, &[late.thing("late", &[])], &[])).await,
        views.halt(&late.lease, &halt(HaltKind::Poison, 1)).await,
        views.take_over(&late.lease).await.map(drop),
    ];
    for (place, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(ViewError::Fenced)), "{place}: {refused:?}");
    }
    assert_eq!(folder.state().await, before);
    folder.put(&[folder.thing("a", &[])]).await;
    folder.take_over().await;
    assert_eq!(ids(&views, of("shelf")).await, ["a"]);
}

/// There is no lease of a generation that is not there.
pub(crate) async fn of_what_is_not_there_is_refused(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    shelf(&views).await;
    for of in [generation("shelf", 1, 2), generation("shelf", 2, 1), generation("stall", 1, 1)] {
        let had = views.lease(&of, &holder(1), LONG).await;
        assert!(matches!(had, Err(ViewError::Unknown(_))), "{of}: {had:?}");
    }
}

/// The token goes on rising when the store is opened again, and who had the lease before is fenced.
pub(crate) async fn has_a_token_that_rises_over_reopening(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let of = shelf(&views).await;
    let mut late = views.lease(&of, &holder(1), SHORT).await.unwrap().unwrap();
    for by in 2..4 {
        views.give_back(&late).await.unwrap();
        late = views.lease(&of, &holder(by), SHORT).await.unwrap().unwrap();
    }
    let (_store, views) = reopen(subject, store, views).await;
    let next = waits_for(&views, &of, 9).await;
    assert!(next.token > late.token, "{next:?} came behind {late:?}");
    let refused = views.halt(&late, &halt(HaltKind::Poison, 1)).await;
    assert!(matches!(refused, Err(ViewError::Fenced)), "{refused:?}");
}

/// No token comes again when a generation was thrown away and begun anew: who had the first is fenced in the second.
pub(crate) async fn has_a_token_that_rises_over_throwing_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let of = shelf(&views).await;
    let late = views.lease(&of, &holder(1), LONG).await.unwrap().unwrap();
    views.discard(&of).await.unwrap();
    let again = shelf(&views).await;
    let next = views.lease(&again, &holder(2), LONG).await.unwrap().unwrap();
    assert!(next.token > late.token, "{next:?} came behind {late:?}");
    let late = Lease { of: again, ..late };
    let refused = views.halt(&late, &halt(HaltKind::Poison, 1)).await;
    assert!(matches!(refused, Err(ViewError::Fenced)), "{refused:?}");
}
