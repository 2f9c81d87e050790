//! The view `pages`, fact by fact.

use std::collections::BTreeSet;

use flightdeck_store::Limit;
use flightdeck_store::view::{Row, Value};

use super::{By, NAME, PagesView, page, top_pages};
use crate::Asked;
use crate::ground::{Chance, Ground, What, at, everything, micros, only};

fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row.text(column).unwrap_or("nothing")
}

#[test]
fn a_page_is_counted_by_what_is_done_on_it() {
    let mut ground = Ground::of(PagesView);
    let (early, late) = (at("2026-11-21T08:00:00Z"), at("2026-11-21T09:00:00Z"));
    for what in What::EACH {
        ground.does("ada", what, Some("/"), late);
    }
    ground.does("bob", What::View, Some("/"), early);
    ground.does("bob", What::System, None, late);
    ground.consents("eve", late);
    let row = ground.row(NAME, &["/".into()]);
    let counts = ["facts", "views", "clicks", "forms", "visitors"].map(|column| row.integer(column).unwrap());
    assert_eq!(counts, [6, 2, 1, 1, 2]);
    assert_eq!((row.time("first_viewed"), row.time("last_viewed")), (Some(early), Some(late)));
    assert_eq!(ground.rows(NAME).len(), 1);
}

#[test]
fn a_page_on_which_something_happened_and_that_was_never_looked_at_has_no_time_of_that() {
    let mut ground = Ground::of(PagesView);
    ground.does("ada", What::Click, Some("/"), at("2026-11-21T08:00:00Z"));
    let row = ground.row(NAME, &["/".into()]);
    assert_eq!([row.get("first_viewed"), row.get("last_viewed"), row.get("title")], [&Value::Null; 3]);
}

#[test]
fn its_title_is_the_last_one_by_the_servers_clock() {
    let mut ground = Ground::of(PagesView);
    let mut view = |title: &str, minute: u32| {
        let (when, title) = (at(&format!("2026-11-21T08:{minute}:00Z")), format!(r#","title":"{title}""#));
        ground.does_more("ada", What::View, Some("/"), when, &title);
        text(&ground.row(NAME, &["/".into()]), "title").to_owned()
    };
    assert_eq!(view("Old", 10), "Old");
    assert_eq!(view("New", 20), "New");
    assert_eq!(view("Late", 15), "New");
    assert_eq!(view("Same moment", 20), "Same moment");
    ground.does("ada", What::View, Some("/"), at("2026-11-21T08:50:00Z"));
    assert_eq!(text(&ground.row(NAME, &["/".into()]), "title"), "Same moment");
}

#[tokio::test]
async fn visitors_of_a_page_are_those_of_the_raw_events() {
    let (mut ground, mut chance) = (Ground::of(PagesView), Chance(3));
    let mut visitors: [BTreeSet<u64>; 3] = Default::default();
    for _ in 0..9_000 {
        let (place, visitor) = (chance.below(3), chance.below(1_500));
        let (place, visitor) =
            (usize::try_from(place).unwrap(), if place == 0 { visitor } else { visitor % 900 });
        visitors[place].insert(visitor);
        ground.does(&format!("v{visitor}"), What::View, Some(["/", "/a", "/b"][place]), micros(1));
    }
    for (place, name) in ["/", "/a", "/b"].into_iter().enumerate() {
        let row = ground.row(NAME, &[name.into()]);
        let (found, real) = (row.integer("visitors").unwrap(), i64::try_from(visitors[place].len()).unwrap());
        assert_eq!(real > 1_000, place == 0, "one page has too many to tell them apart: {real}");
        match real > 1_000 {
            true => assert!((found as f64 / real as f64 - 1.0).abs() < 0.1, "{found} of {real}"),
            false => assert_eq!(found, real),
        }
        assert_eq!(row.get("visitors_exact"), &Value::Boolean(real <= 1_000));
    }
}

#[tokio::test]
async fn the_top_pages_come_in_order_and_page_by_page() {
    let mut ground = Ground::of(PagesView);
    for (page, views, clicks, minute) in [("/a", 1, 9, 30), ("/b", 3, 0, 10), ("/c", 2, 2, 20)] {
        let when = at(&format!("2026-11-21T08:{minute}:00Z"));
        (0..views).for_each(|_| ground.does("ada", What::View, Some(page), when));
        (0..clicks).for_each(|_| ground.does("ada", What::Click, Some(page), when));
    }
    let views = ground.views().await;
    for (by, order) in [
        (By::Views, ["/b", "/c", "/a"]),
        (By::Facts, ["/a", "/c", "/b"]),
        (By::LastViewed, ["/a", "/c", "/b"]),
    ] {
        let (mut asked, mut found) =
            (Asked { limit: Limit::new(2).unwrap(), ..Asked::default() }, Vec::new());
        for _ in 0..2 {
            let page = top_pages(&views, by, asked.clone()).await.unwrap();
            found.extend(page.rows.iter().map(|row| text(row, "page").to_owned()));
            asked.after = page.next;
        }
        assert_eq!((found, asked.after), (order.map(str::to_owned).to_vec(), None));
    }
    let count = async |streams| {
        let asked = Asked { streams, ..Asked::default() };
        top_pages(&views, By::Views, asked).await.unwrap().rows.len()
    };
    assert_eq!((count(only("ada")).await, count(everything()).await), (0, 3));
    assert_eq!(page(&views, "/c", None).await.unwrap().unwrap().integer("views"), Some(2));
    assert!(page(&views, "/nowhere", None).await.unwrap().is_none());
}
