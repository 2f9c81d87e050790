//! Generations: made once, beside each other, built again, thrown away, and found again.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_store::view::{
    Checkpoint, GenerationState, HaltKind, Mark, Plan, TakenOver, Value, ViewError, ViewQuery,
};

use crate::given::{at_once, position};
use crate::view::ViewSubject;
use crate::view::given::{
    Folder, ask, checkpoint, generation, halt, holder, ids, lease, name, numbers, of, part, plan, reading,
    refusal, reopen, serving, state, states, thing,
};

/// The first build of a plan has no rows, is before the first event, and is not ready, not serving, and nobody's.
pub(crate) async fn begins_before_the_first_event(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    assert_eq!(states(&views).await, []);
    let plan = plan("shelf", 3);
    let made = views.prepare(&plan).await.unwrap();
    assert!((0..60).contains(&made.unwanted_seconds), "who makes a generation wants it");
    let expected = GenerationState {
        of: generation("shelf", 3, 1),
        plan: plan.clone(),
        ready: false,
        serving: false,
        paused: false,
        checkpoint: Checkpoint::START,
        halt: None,
        skips: Vec::new(),
        holder: None,
        unwanted_seconds: 0,
    };
    assert_eq!(GenerationState { unwanted_seconds: 0, ..made }, expected);
    assert_eq!(states(&views).await, [expected]);
    let folder = Folder::first(&views, &plan).await;
    assert_eq!(folder.load(vec![(0, vec![]), (1, vec![])]).await, []);
}

/// A generation that is there is found as it is, and of several builds the newest.
pub(crate) async fn is_found_when_it_is_there(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let plan = plan("shelf", 1);
    let first = serving(&views, &plan, &[("a", &[])]).await;
    let found = views.prepare(&plan).await.unwrap();
    assert_eq!((&found.of, found.checkpoint, found.ready), (first.generation(), checkpoint(1), true));
    let second = Folder::again(&views, &plan).await;
    let found = views.prepare(&plan).await.unwrap();
    assert_eq!((&found.of, found.checkpoint, found.ready), (second.generation(), Checkpoint::START, false));
    assert_eq!(states(&views).await.len(), 2);
}

/// Made from many places at the same time, it is made once.
pub(crate) async fn is_made_once_by_many_at_once(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for number in 1..=3 {
        let made = at_once(8, |_| {
            let views = Arc::clone(&views);
            async move { views.prepare(&plan("shelf", number)).await.map(|state| state.of) }
        });
        for of in made.await {
            assert_eq!(of.unwrap(), generation("shelf", number, 1));
        }
        assert_eq!(states(&views).await.len(), usize::try_from(number).unwrap());
    }
}

/// A plan with another fingerprint under the same number is refused, and is good under the next.
pub(crate) async fn is_refused_when_its_plan_changed_under_its_number(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let before = states(&views).await;
    let other = Plan::new("shelf", 1, vec![], "everything").unwrap();
    for changed in [reading("shelf", 1, "something else"), other] {
        for made in [views.prepare(&changed).await, views.begin_build(&changed).await] {
            let is_refused = matches!(
                &made,
                Err(ViewError::Changed { view, number: 1 }) if *view == name("shelf"),
            );
            assert!(is_refused, "{made:?}");
        }
    }
    assert_eq!(states(&views).await, before);
    assert!(views.prepare(&reading("shelf", 2, "something else")).await.is_ok());
}

/// A table whose name belongs to another view is refused, whether that one is ready or not; a view's own numbers share their names.
pub(crate) async fn is_refused_with_a_table_of_another_view(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = Folder::first(&views, &plan("shelf", 1)).await;
    let thief = |number| {
        let table = plan("shelf", 1).tables()[1].as_ref().clone();
        Plan::new("thief", number, vec![table], "").unwrap()
    };
    for number in [1, 2] {
        let made = views.prepare(&thief(number)).await;
        assert!(matches!(&made, Err(ViewError::TableTaken { table }) if table == "shelf_parts"), "{made:?}");
        folder.take_over().await;
    }
    assert!(views.prepare(&plan("shelf", 2)).await.is_ok());
    assert_eq!(states(&views).await.len(), 2);
}

/// Generations are listed by view, number and build, numbers as numbers.
pub(crate) async fn is_listed_by_view_number_and_build(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (view, number) in [("stall", 1), ("shelf", 10), ("shelf", 9), ("a", 2)] {
        Folder::first(&views, &plan(view, number)).await.take_over().await;
    }
    views.begin_build(&plan("shelf", 9)).await.unwrap();
    let listed: Vec<_> = states(&views).await.into_iter().map(|state| state.of).collect();
    let mut expected = listed.clone();
    expected.sort();
    let numbers: Vec<_> = listed.iter().map(|of| (of.view.as_str(), of.number)).collect();
    assert_eq!(numbers, [("a", 2), ("shelf", 9), ("shelf", 9), ("shelf", 10), ("stall", 1)]);
    assert_eq!(listed, expected);
}

/// A further build stands beside the one before, with no rows and before the first event; the one before goes on answering.
pub(crate) async fn is_built_again_beside_the_one_before(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut first = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let second = Folder::again(&views, &plan("shelf", 1)).await;
    assert_eq!(second.generation().number, 1);
    assert!(second.generation().build > first.generation().build);
    let state = second.state().await;
    assert_eq!((state.ready, state.serving, state.checkpoint), (false, false, Checkpoint::START));
    assert_eq!(second.load(vec![(0, vec![])]).await, []);
    first.put(&[first.thing("b", &[])]).await;
    let page = ask(&views, &of("shelf")).await;
    assert_eq!((page.of, page.checkpoint, page.rows.len()), (first.generation().clone(), checkpoint(2), 2));
}

/// While the newest build is not ready it is thrown away and begun again: there are never two that are not.
pub(crate) async fn that_is_unfinished_is_begun_again(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let plan = plan("shelf", 1);
    // With no build that is ready, and then beside one that is.
    for others in 0..2 {
        let mut unfinished = match others {
            0 => Folder::first(&views, &plan).await,
            _ => Folder::again(&views, &plan).await,
        };
        for _ in 0..2 {
            unfinished.put(&[unfinished.thing("a", &[])]).await;
            let next = Folder::again(&views, &plan).await;
            assert_eq!(next.load(vec![(0, vec![])]).await, []);
            assert_eq!(next.state().await.checkpoint, Checkpoint::START);
            let (ready, unready): (Vec<_>, Vec<_>) =
                states(&views).await.into_iter().partition(|state| state.ready);
            assert_eq!(unready.iter().map(|state| &state.of).collect::<Vec<_>>(), [next.generation()]);
            assert_eq!(ready.len(), others);
            assert!(next.generation() > unfinished.generation(), "a build has a number of its own");
            let late = views.apply(unfinished.work(9, &[unfinished.thing("late", &[])], &[])).await;
            assert!(matches!(late, Err(ViewError::Unknown(_))), "{late:?}");
            unfinished = next;
        }
        unfinished.take_over().await;
    }
}

/// A further build leaves out what the one before was told to leave out.
pub(crate) async fn built_again_leaves_out_the_same(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = serving(&views, &plan("shelf", 1), &[]).await;
    for at in [5, 9] {
        views.halt(&first.lease, &halt(HaltKind::Poison, at)).await.unwrap();
        views.mark(first.generation(), Mark::Skip(position(at))).await.unwrap();
    }
    let expected = [position(5), position(9)];
    // The second time it is the unfinished build before that says it.
    for _ in 0..2 {
        let next = Folder::again(&views, &plan("shelf", 1)).await;
        assert_eq!(next.state().await.skips, expected);
    }
    assert_eq!(first.state().await.skips, expected);
    assert_eq!(Folder::first(&views, &plan("shelf", 2)).await.state().await.skips, []);
}

/// Nothing that is done to one generation is seen in another.
pub(crate) async fn is_not_seen_in_another(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut first = serving(&views, &plan("shelf", 1), &[("a", &[("number", 1.into())])]).await;
    let other = serving(&views, &plan("stall", 1), &[("a", &[("number", 2.into())])]).await;
    let mut build = Folder::again(&views, &plan("shelf", 1)).await;
    let mut next = Folder::first(&views, &plan("shelf", 2)).await;
    let before = (first.state().await, other.state().await);
    build.put(&[build.thing("a", &[("number", 3.into())])]).await;
    next.put(&[next.thing("a", &[("number", 4.into())]), next.thing("b", &[])]).await;
    next.remove(&[next.thing("b", &[])]).await;
    views.mark(build.generation(), Mark::Pause).await.unwrap();
    views.halt(&next.lease, &halt(HaltKind::Poison, 3)).await.unwrap();
    for (folder, number) in [(&first, 1), (&other, 2), (&build, 3), (&next, 4)] {
        assert_eq!(numbers(&folder.loaded(&["a"]).await), [Some(number)], "{}", folder.generation());
    }
    assert_eq!((first.state().await, other.state().await), before);
    assert_eq!((build.state().await.halt, next.state().await.paused), (None, false));
    assert_eq!(numbers(&ask(&views, &of("shelf")).await.rows), [Some(1)]);
    first.put(&[first.thing("c", &[])]).await;
    views.discard(next.generation()).await.unwrap();
    assert_eq!(build.state().await.checkpoint, checkpoint(1));
    assert_eq!(numbers(&build.load(vec![(0, vec![])]).await), [Some(3)]);
    assert_eq!(numbers(&first.load(vec![(0, vec![])]).await), [Some(1), None]);
    assert_eq!(other.state().await, before.1);
    assert_eq!(numbers(&ask(&views, &of("stall")).await.rows), [Some(2)]);
}

/// A generation that was thrown away is gone, and whatever is asked of it is refused as unknown.
pub(crate) async fn is_gone_when_thrown_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let gone = folder.generation();
    views.discard(gone).await.unwrap();
    assert_eq!(states(&views).await, []);
    assert!(matches!(refusal(&views, &of("shelf")).await, ViewError::Unknown(_)));
    let refused = [
        views.discard(gone).await,
        views.mark(gone, Mark::Pause).await,
        views.lease(gone, &holder(1), Duration::from_secs(1)).await.map(drop),
        views.load(gone, vec![(0, Box::new(["a".into()]))]).await.map(drop),
        views.apply(folder.work(2, &[], &[])).await,
        views.halt(&folder.lease, &halt(HaltKind::Poison, 2)).await,
        views.take_over(&folder.lease).await.map(drop),
    ];
    for (place, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(ViewError::Unknown(_))), "{place}: {refused:?}");
    }
}

/// A generation that serves is thrown away like any other; a lower number goes on answering for itself.
pub(crate) async fn that_serves_is_thrown_away_like_any_other(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("one", &[])]).await;
    let second = serving(&views, &plan("shelf", 2), &[("two", &[])]).await;
    views.discard(second.generation()).await.unwrap();
    assert_eq!(ids(&views, of("shelf")).await, ["one"]);
    let second = ViewQuery { number: 2, ..of("shelf") };
    assert!(matches!(refusal(&views, &second).await, ViewError::NotReady(view) if view == name("shelf")));
}

/// With a view's last generation the names of its tables are free for another view.
pub(crate) async fn leaves_the_names_of_its_tables_when_thrown_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    views.discard(folder.generation()).await.unwrap();
    let tables = folder.plan.tables().iter().map(|table| table.as_ref().clone()).collect();
    let heir = Plan::new("heir", 1, tables, "").unwrap();
    serving(&views, &heir, &[("b", &[])]).await;
    let rows = ViewQuery::of(name("heir"), 1, "shelf");
    assert_eq!(ids(&views, rows).await, ["b"]);
}

/// What was thrown away and is made again begins anew.
pub(crate) async fn begins_anew_after_it_was_thrown_away(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    views.mark(folder.generation(), Mark::Pause).await.unwrap();
    views.discard(folder.generation()).await.unwrap();
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let state = folder.state().await;
    assert_eq!((state.checkpoint, state.ready, state.paused), (Checkpoint::START, false, false));
    assert_eq!(folder.load(vec![(0, vec![])]).await, []);
    folder.put(&[folder.thing("b", &[])]).await;
    folder.take_over().await;
    assert_eq!(ids(&views, of("shelf")).await, ["b"]);
}

/// It is said for how long nobody has wanted a generation, and wanting one says nothing of another.
pub(crate) async fn says_for_how_long_nobody_wanted_it(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let one = views.prepare(&plan("shelf", 1)).await.unwrap().of;
    let other = views.prepare(&plan("stall", 1)).await.unwrap().of;
    let unwanted = || async {
        let states = views.generations().await.unwrap();
        let of = |of| states.iter().find(|state| state.of == of).unwrap().unwanted_seconds;
        (of(one.clone()), of(other.clone()))
    };
    for _ in 0..1_000 {
        let (for_one, for_other) = unwanted().await;
        if for_one.min(for_other) >= 1 {
            views.want(std::slice::from_ref(&one)).await.unwrap();
            let (for_one, for_other) = unwanted().await;
            assert!(
                for_one < for_other,
                "{for_one} s and {for_other} s, and it was the first that was wanted"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("after ten seconds nothing was unwanted for one");
}

/// Opening the store again finds every generation as it was, with its rows; only who holds what is no matter.
pub(crate) async fn is_found_as_it_was_after_reopening(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let told = [("a", &[("number", 1.into()), ("text", "kept".into())][..]), ("b", &[])];
    let first = serving(&views, &plan("shelf", 1), &told).await;
    views.halt(&first.lease, &halt(HaltKind::Poison, 5)).await.unwrap();
    views.mark(first.generation(), Mark::Skip(position(5))).await.unwrap();
    views.mark(first.generation(), Mark::Pause).await.unwrap();
    serving(&views, &plan("shelf", 2), &[("two", &[])]).await;
    let mut building = Folder::again(&views, &plan("shelf", 2)).await;
    building.put(&[building.thing("c", &[]), building.part("g", 1, "part")]).await;
    views.halt(&building.lease, &halt(HaltKind::Poison, 2)).await.unwrap();
    let lapsed = |states: Vec<GenerationState>| -> Vec<_> {
        states.into_iter().map(|state| GenerationState { holder: None, ..state }).collect()
    };
    let before = lapsed(states(&views).await);
    let page = ask(&views, &of("shelf")).await;
    let of_building = building.generation().clone();
    drop((first, building));

    let (_store, views) = reopen(subject, store, views).await;
    assert_eq!(lapsed(states(&views).await), before);
    assert_eq!(ask(&views, &of("shelf")).await, page);
    assert_eq!(ids(&views, ViewQuery { number: 2, ..of("shelf") }).await, ["two"]);
    let plan = plan("shelf", 2);
    let everything: Vec<(usize, Box<[Value]>)> = vec![(0, Box::new([])), (1, Box::new([]))];
    let rows = views.load(&of_building, everything).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.contains(&(0, thing(&plan, "c", &[]))) && rows.contains(&(1, part(&plan, "g", 1, "part"))));
}

/// A generation goes on where it was when the store is opened again, by the same plan.
pub(crate) async fn goes_on_after_reopening(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let plan = plan("shelf", 1);
    let first = serving(&views, &plan, &[("a", &[])]).await;
    views.give_back(&first.lease).await.unwrap();
    drop(first);
    let (_store, views) = reopen(subject, store, views).await;
    let mut folder = Folder::first(&views, &plan).await;
    assert_eq!(folder.at, checkpoint(1));
    folder.put(&[folder.thing("b", &[])]).await;
    assert_eq!(ids(&views, of("shelf")).await, ["a", "b"]);
    views.give_back(&folder.lease).await.unwrap();
    let again = lease(&views, folder.generation(), 2).await;
    assert!(matches!(views.take_over(&again).await, Ok(TakenOver::Done)));
    assert!(state(&views, folder.generation()).await.is_some_and(|state| state.serving));
}
