//! What live views answered is answered again as of that moment, on both stores that last: from memory, and from scratch generations.

use std::collections::BTreeSet;
use std::sync::Arc;

use flightdeck_core::Position;
use flightdeck_projections::as_of::{AsOfOptions, Beyond, Moment, is_scratch};
use flightdeck_projections::{AsOf, Defined, Runner};
use flightdeck_store::Limit;
use flightdeck_store::view::{ViewPage, ViewQuery};
use flightdeck_tests::contents::{self, Shelves};
use flightdeck_tests::views::{defined, name};
use flightdeck_views::ContentView;

use super::{Ground, at_the_head, fill, quick};
use crate::victim::block_on;

/// More than one piece of work on SQLite takes.
const CONTENTS: u64 = 2_500;
const APPENDS: u64 = 120;

fn questions() -> Vec<ViewQuery> {
    let of = |view| ViewQuery::of(name(view), 1, view);
    let few = |query: ViewQuery| ViewQuery { limit: Limit::new(7).unwrap(), ..query };
    vec![
        of("content"),
        few(of("content").sorted("status", false).sorted("title", true)),
        few(of("content").sorted("updated_at", true)),
        few(of("content").text("a*")),
        of("shelves"),
        few(of("shelves").sorted("books", true)),
    ]
}

async fn ask_again(as_of: &AsOf, views: &[Defined], recorded: &[(ViewQuery, ViewPage)], step: usize) {
    for (query, page) in recorded.iter().step_by(step) {
        let view = views.iter().find(|view| *view.plan().view() == query.view).unwrap();
        let moment = Moment::Position(page.checkpoint.position);
        let again = as_of.ask(view, query, &moment, Beyond::Scratch).await.unwrap();
        let again = ViewPage { of: page.of.clone(), ..again };
        assert!(again == *page, "as of {}: {query:?}", page.checkpoint.position);
    }
}

fn gives_recorded_answers_again(ground: &Ground) {
    block_on(async {
        let opened = ground.open().await;
        let (store, views) = (opened.store(), opened.views());
        fill(&*store, CONTENTS).await;
        let runner = Runner::new(Arc::clone(&store), Arc::clone(&views)).options(quick());
        let running = runner.projection(ContentView).projection(Shelves).start().await.unwrap();
        for view in ["content", "shelves"] {
            at_the_head(&*store, &running, view, 1).await;
        }
        let mut recorded = Vec::new();
        for number in 0..APPENDS {
            store.append(contents::append(number, CONTENTS + 50)).await.unwrap();
            if number % 20 == 0 {
                for view in ["content", "shelves"] {
                    at_the_head(&*store, &running, view, 1).await;
                }
            }
            for query in questions() {
                let page = views.ask(&query).await.unwrap();
                if let Some(next) = query.next(&page) {
                    let behind = views.ask(&next).await.unwrap();
                    recorded.push((next, behind));
                }
                recorded.push((query, page));
            }
        }
        running.stop().await;
        let views_of = [defined(ContentView), defined(Shelves)];
        let memory = AsOf::new(Arc::clone(&store), Arc::clone(&views));
        ask_again(&memory, &views_of, &recorded, 13).await;
        let options = AsOfOptions { events_max: 100, ..AsOfOptions::default() };
        ask_again(&memory.clone().options(options), &views_of, &recorded, 131).await;
        let all = views.generations().await.unwrap();
        assert!(!all.iter().any(|state| is_scratch(&state.of.view)), "nothing is left");
        for view in ["content", "shelves"] {
            let own = recorded.iter().filter(|(query, _)| query.view.as_str() == view);
            let places: BTreeSet<Position> = own.map(|(_, page)| page.checkpoint.position).collect();
            assert!(places.len() >= 5, "{view} was asked at {places:?} only");
        }
        opened.close().await;
    });
}

#[test]
fn sqlite_gives_recorded_answers_again() {
    gives_recorded_answers_again(&Ground::sqlite());
}

#[test]
fn postgres_gives_recorded_answers_again() {
    gives_recorded_answers_again(&Ground::postgres());
}
