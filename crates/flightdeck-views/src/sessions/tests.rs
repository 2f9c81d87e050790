//! The view `sessions`, fact by fact and beside a naive cut of the raw events.

use std::collections::BTreeMap;

use flightdeck_analytics::VisitorId;
use flightdeck_core::Timestamp;
use flightdeck_store::view::Row;

use super::{GAP_MINUTES, NAME, SessionsView, last_sessions, sessions_of};
use crate::Asked;
use crate::ground::{Chance, Ground, What, at, everything, micros, only};

const MINUTE: i64 = 60_000_000;

/// Number, first and last version, facts, views, and when it began and ended, in minutes.
fn told(ground: &Ground, visitor: &str) -> Vec<[i64; 7]> {
    let own = |row: &&Row| row.text("visitor") == Some(visitor);
    let number = |row: &Row, column| row.integer(column).unwrap();
    let minute = |row: &Row, column| row.time(column).unwrap().micros() / MINUTE;
    let told = |row: &Row| {
        let [n, first, last, facts, views] =
            ["number", "first_version", "last_version", "facts", "views"].map(|column| number(row, column));
        [n, first, last, facts, views, minute(row, "started_at"), minute(row, "ended_at")]
    };
    let mut all: Vec<[i64; 7]> = ground.rows(NAME).iter().filter(own).map(told).collect();
    all.sort_unstable();
    all
}

fn minutes(minutes: &[i64]) -> Ground {
    let mut ground = Ground::of(SessionsView);
    for minute in minutes {
        ground.does("ada", What::View, Some("/"), micros(MINUTE * minute));
    }
    ground
}

#[test]
fn half_an_hour_is_the_same_session_and_a_microsecond_more_another() {
    let gap = i64::try_from(GAP_MINUTES).unwrap();
    let mut ground = minutes(&[0, gap]);
    assert_eq!(told(&ground, "ada"), [[1, 1, 2, 2, 2, 0, 30]]);
    ground.does("ada", What::Click, None, micros(MINUTE * 2 * gap + 1));
    assert_eq!(told(&ground, "ada"), [[1, 1, 2, 2, 2, 0, 30], [2, 3, 3, 1, 0, 60, 60]]);
}

#[test]
fn a_clock_that_goes_back_a_little_widens_the_session_and_one_that_goes_back_far_begins_another() {
    // Within it, and half an hour before it began.
    assert_eq!(told(&minutes(&[100, 120, 110, 70]), "ada"), [[1, 1, 4, 4, 4, 70, 120]]);
    // More than half an hour before it began, and then on again.
    let found = told(&minutes(&[100, 60, 100]), "ada");
    assert_eq!(found, [[1, 1, 1, 1, 1, 100, 100], [2, 2, 2, 1, 1, 60, 60], [3, 3, 3, 1, 1, 100, 100]]);
}

#[test]
fn a_session_has_the_pages_where_it_began_and_ended_and_where_the_visitor_came_from() {
    let mut ground = Ground::of(SessionsView);
    let mut does = |what, page, more: &str| {
        ground.does_more("ada", what, page, micros(0), more);
        let row = &ground.rows(NAME)[0];
        ["entry_page", "exit_page", "referrer"].map(|column| row.text(column).unwrap_or("-").to_owned())
    };
    assert_eq!(does(What::Click, Some("/never looked at"), ""), ["-", "-", "-"]);
    assert_eq!(does(What::View, Some("/in"), r#","referrer":"https://a""#), ["/in", "/in", "https://a"]);
    assert_eq!(does(What::View, Some("/out"), r#","referrer":"https://b""#), ["/in", "/out", "https://a"]);
    assert_eq!(does(What::Form, Some("/form"), ""), ["/in", "/out", "https://a"]);
}

#[test]
fn answers_about_consent_are_in_no_session() {
    let mut ground = minutes(&[0]);
    ground.consents("ada", micros(10 * MINUTE));
    ground.does("ada", What::View, Some("/"), micros(35 * MINUTE));
    assert_eq!(told(&ground, "ada"), [[1, 1, 1, 1, 1, 0, 0], [2, 5, 5, 1, 1, 35, 35]]);
}

#[test]
fn sessions_are_those_of_a_naive_cut_of_the_raw_events() {
    let (mut ground, mut chance) = (Ground::of(SessionsView), Chance(11));
    let mut raw: BTreeMap<String, Vec<(Timestamp, bool)>> = BTreeMap::new();
    let mut now = at("2026-11-21T08:00:00Z").micros();
    for _ in 0..1_500 {
        now += i64::try_from(chance.below(6 * 60_000_000)).unwrap();
        let (name, what) = (format!("v{}", chance.below(8)), chance.one_of(&What::EACH));
        ground.does(&name, what, Some("/"), micros(now));
        raw.entry(name).or_default().push((micros(now), what == What::View));
    }
    for (name, facts) in raw {
        let far = |one: &(Timestamp, bool), other: &(Timestamp, bool)| {
            other.0.micros() - one.0.micros() <= 30 * MINUTE
        };
        let mut version = 0;
        let cut = facts.chunk_by(far).enumerate().map(|(at, facts)| {
            let (first, many) = (version + 1, i64::try_from(facts.len()).unwrap());
            version += many;
            let views = i64::try_from(facts.iter().filter(|fact| fact.1).count()).unwrap();
            let minute = |fact: &(Timestamp, bool)| fact.0.micros() / MINUTE;
            let (began, ended) = (minute(&facts[0]), minute(&facts[facts.len() - 1]));
            [i64::try_from(at).unwrap() + 1, first, version, many, views, began, ended]
        });
        assert_eq!(told(&ground, &name), cut.collect::<Vec<_>>(), "{name}");
    }
    assert!(ground.rows(NAME).len() > 100);
}

#[tokio::test]
async fn sessions_are_listed_for_whoever_may_see_them() {
    let mut ground = minutes(&[0, 100, 200]);
    ground.does("bob", What::View, Some("/"), micros(150 * MINUTE));
    let views = ground.views().await;
    let asked = |streams| Asked { streams, ..Asked::default() };
    let ada = VisitorId::new("ada").unwrap();
    for (streams, own, all) in [(only("ada"), 3, 3), (only("bob"), 0, 1), (everything(), 3, 4)] {
        let found = sessions_of(&views, &ada, asked(streams.clone())).await.unwrap();
        let numbers: Vec<_> = found.rows.iter().filter_map(|row| row.integer("number")).collect();
        assert_eq!(numbers, [3, 2, 1][..own]);
        assert_eq!(last_sessions(&views, asked(streams)).await.unwrap().rows.len(), all);
    }
    let found = last_sessions(&views, Asked::default()).await.unwrap();
    let ended: Vec<_> =
        found.rows.iter().map(|row| row.time("ended_at").unwrap().micros() / MINUTE).collect();
    assert_eq!(ended, [200, 150, 100, 0]);
}
