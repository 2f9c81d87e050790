//! `site_analytics` beside a count of the raw events by someone who knows nothing of buckets: the clock on the wall of the zone.

use std::collections::{BTreeMap, BTreeSet};

use flightdeck_core::Timestamp;
use flightdeck_projections::Projection;
use flightdeck_store::view::MemoryViews;
use jiff::tz::TimeZone;

use super::series::{Piece, Wanted, pieces, rows_for};
use super::{
    Bucket, EXACT_HOUR, EXACT_MAX, NAME, Series, SeriesError, SiteAnalyticsView, Totals, series, totals,
};
use crate::ground::{Chance, Ground, What, at, everything, micros, only};
use crate::zone::{BUCKETS_MAX, InvalidSpan, SERIES_ROWS_MAX, Step, Zone, borders};

/// A fact as it was told, by whoever tells the view of it.
struct Raw {
    visitor: String,
    what: What,
    page: Option<&'static str>,
    at: Timestamp,
}

const PAGES: [Option<&str>; 5] = [Some("/"), Some("/pricing"), Some("/a"), Some("/b"), None];
const STEPS: [Step; 4] = [Step::Hour, Step::Day, Step::Week, Step::Month];

/// What the clock and the calendar on the wall say: the same for all facts of one bucket, and for no others.
fn label(at: Timestamp, step: Step, zone: &TimeZone) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.micros()).unwrap();
    let wall = zone.to_datetime(moment);
    match step {
        Step::Hour => format!("{} {} {}", wall.date(), wall.hour(), zone.to_offset(moment)),
        Step::Day => wall.date().to_string(),
        Step::Week => {
            let week = wall.date().iso_week_date();
            format!("{} week {}", week.year(), week.week())
        }
        Step::Month => format!("{} {}", wall.date().year(), wall.date().month()),
    }
}

fn counted<'r>(facts: impl Iterator<Item = &'r Raw>) -> Totals {
    let mut totals = Totals { unique_is_exact: true, ..Totals::default() };
    let mut visitors = BTreeSet::new();
    for fact in facts {
        totals.facts += 1;
        totals.views += i64::from(fact.what == What::View);
        totals.clicks += i64::from(fact.what == What::Click);
        totals.forms += i64::from(fact.what == What::Form);
        visitors.insert(&fact.visitor);
    }
    totals.unique = i64::try_from(visitors.len()).unwrap();
    totals
}

fn asked(from: &str, to: &str, step: Step, zone: &str) -> Series {
    let zone = Zone::named(zone).unwrap();
    Series { from: at(from), to: at(to), step, zone, streams: None }
}

#[track_caller]
fn compare(buckets: &[Bucket], facts: &[Raw], asked: &Series, zone: &TimeZone) {
    let mut by_label: BTreeMap<String, Vec<&Raw>> = BTreeMap::new();
    for fact in facts {
        by_label.entry(label(fact.at, asked.step, zone)).or_default().push(fact);
    }
    let case = |bucket: &Bucket| format!("{zone:?} {:?} {}", asked.step, bucket.start);
    for bucket in buckets {
        let own = by_label.remove(&label(bucket.start, asked.step, zone)).unwrap_or_default();
        assert_eq!(bucket.totals, counted(own.into_iter()), "{}", case(bucket));
    }
    for two in buckets.windows(2) {
        assert_eq!(two[0].end, two[1].start, "{}", case(&two[0]));
    }
    let (first, last) = (&buckets[0], &buckets[buckets.len() - 1]);
    assert!(first.start <= asked.from && asked.from < first.end, "{}", case(first));
    assert!(last.start < asked.to && asked.to <= last.end, "{}", case(last));
    let left = by_label.into_values().flatten();
    let (from, to) = (first.start, last.end);
    let lost = left.filter(|fact| (from..to).contains(&fact.at)).map(|fact| fact.at);
    assert_eq!(lost.collect::<Vec<_>>(), [], "{:?} {zone:?}", asked.step);
}

/// Facts of about ten weeks around a moment: anywhere, close to it, and close to the borders of days and hours around it.
fn history(ground: &mut Ground, around: Timestamp, seed: u64) -> Vec<Raw> {
    const HOUR: i64 = 3_600_000_000;
    let mut chance = Chance(seed);
    let mut facts = Vec::new();
    for _ in 0..700 {
        let mut anywhere = |most: i64| i64::try_from(chance.below(2 * most.unsigned_abs())).unwrap() - most;
        let within = match anywhere(2) {
            -2 => anywhere(35 * 24 * HOUR),
            -1 => anywhere(4 * HOUR),
            0 => anywhere(40) * 24 * HOUR + anywhere(2_000_000),
            _ => anywhere(200) * HOUR / 4 + anywhere(2),
        };
        let fact = Raw {
            visitor: format!("v{}", chance.below(40)),
            what: chance.one_of(&What::EACH),
            page: chance.one_of(&PAGES),
            at: micros(around.micros() + within),
        };
        // A system event is the one fact that may have no page and be of no element; a view has one always.
        let page = if fact.what == What::View { Some(fact.page.unwrap_or("/")) } else { fact.page };
        facts.push(Raw { page, ..fact });
    }
    for fact in &facts {
        ground.does(&fact.visitor, fact.what, fact.page, fact.at);
        ground.consents(&fact.visitor, fact.at);
    }
    facts
}

#[tokio::test]
async fn every_bucket_is_what_a_count_of_the_raw_events_says() {
    for (seed, (zone, around)) in [
        ("UTC", "2026-11-01T00:00:00Z"),
        ("UTC", "2028-02-29T12:00:00Z"),
        ("UTC", "2026-12-31T23:59:59.999999Z"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("Europe/Berlin", "2028-02-29T23:00:00Z"),
        ("America/St_Johns", "2026-03-08T05:30:00Z"),
        ("America/St_Johns", "2026-11-01T04:30:00Z"),
        ("Asia/Kathmandu", "2026-12-31T18:15:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Havana", "2024-03-10T05:00:00Z"),
        ("America/Havana", "2024-11-03T05:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("America/Los_Angeles", "1969-12-31T23:59:59.999999Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut ground = Ground::of(SiteAnalyticsView);
        let facts = history(&mut ground, at(around), seed as u64);
        let views = ground.views().await;
        let wall = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
        let far = 50 * 86_400_000_000;
        for step in STEPS {
            let of = |from: i64, to: i64| Series {
                from: micros(at(around).micros() - from),
                to: micros(at(around).micros() + to),
                step,
                zone: Zone::named(zone).unwrap(),
                streams: everything(),
            };
            for asked in [
                of(far, far),
                of(5_000_000_000, 7_000_000_000),
                of(1, 1),
                of(10 * 86_400_000_000, -3_000_000_000),
            ] {
                let buckets = series(&views, asked.clone()).await.unwrap();
                compare(&buckets, &facts, &asked, &wall);
            }
        }
        assert_eq!(totals(&views, None).await.unwrap(), counted(facts.iter()));
    }
}

#[tokio::test]
async fn every_bucket_is_there_also_where_nothing_happened() {
    let views = Ground::of(SiteAnalyticsView).views().await;
    let day = |step| asked("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", step, "UTC");
    for (step, many) in [(Step::Hour, 24), (Step::Day, 1), (Step::Week, 1), (Step::Month, 1)] {
        let buckets = series(&views, day(step)).await.unwrap();
        assert_eq!(buckets.len(), many);
        let nothing = Totals { unique_is_exact: true, ..Totals::default() };
        assert!(buckets.iter().all(|bucket| bucket.totals == nothing));
    }
}

#[tokio::test]
async fn what_is_too_long_or_ends_before_it_begins_is_refused() {
    let views = MemoryViews::new();
    let refused = async |from: &str, to: &str| match series(&views, asked(from, to, Step::Hour, "UTC")).await
    {
        Err(SeriesError::Span(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z").await, InvalidSpan::Backwards);
    assert_eq!(refused("2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z").await, InvalidSpan::TooMany);
}

#[tokio::test]
async fn the_edges_of_all_time_can_be_asked_for() {
    let mut ground = Ground::of(SiteAnalyticsView);
    let edges = [
        ("0001-01-01T00:00:00Z", "0001-01-03T05:00:00Z"),
        ("9999-12-29T05:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ];
    for (first, last) in edges {
        ground.does("ada", What::View, Some("/"), at(first));
        ground.does("bob", What::Click, Some("/"), micros(at(last).micros() - 1));
    }
    let views = ground.views().await;
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"] {
        for (from, to) in edges {
            for step in STEPS {
                let case = format!("{zone} {step:?} {from}");
                let buckets = series(&views, asked(from, to, step, zone)).await;
                let buckets = buckets.unwrap_or_else(|error| panic!("{case}: {error}"));
                let (first, end) = (&buckets[0], &buckets[buckets.len() - 1]);
                assert!(first.start <= at(from) && at(from) < first.end, "{case}: {first:?}");
                assert!(end.start < at(to) && at(to) <= end.end, "{case}: {end:?}");
                assert!(buckets.windows(2).all(|two| two[0].end == two[1].start), "{case}");
                assert!(buckets.iter().all(|bucket| bucket.start < bucket.end), "{case}");
                assert_eq!(buckets.iter().map(|bucket| bucket.totals.facts).sum::<i64>(), 2, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_series_of_too_many_rows_is_refused_and_a_long_one_is_added_up_in_pieces() {
    let views = MemoryViews::new();
    let refused =
        series(&views, asked("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z", Step::Day, "Asia/Kathmandu"));
    assert!(matches!(refused.await, Err(SeriesError::Span(InvalidSpan::TooMuch))));
    let rows = |wanted: &[Wanted]| wanted.iter().map(|wanted| wanted.starts.len()).sum::<usize>();
    let years = |zone: &str| {
        let zone = Zone::named(zone).unwrap();
        borders(at("2022-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), Step::Day, &zone).unwrap()
    };
    let found = pieces(&years("Asia/Kathmandu")).unwrap();
    assert!(found.len() > 10 && found.iter().all(|piece| rows(&piece.wanted) <= 2_000));
    assert!(found.iter().map(|piece| rows(&piece.wanted)).sum::<usize>() <= SERIES_ROWS_MAX);
    assert_eq!(pieces(&years("UTC")).unwrap().len(), 1);
    // In pieces it is what a count says, too.
    let mut ground = Ground::of(SiteAnalyticsView);
    let mut chance = Chance(9);
    let asked = asked("2022-01-01T00:00:00Z", "2026-01-01T00:00:00Z", Step::Day, "Asia/Kathmandu");
    let span = u64::try_from(asked.to.micros() - asked.from.micros()).unwrap();
    let fact = |chance: &mut Chance| Raw {
        visitor: format!("v{}", chance.below(9)),
        what: What::View,
        page: Some("/"),
        at: micros(asked.from.micros() + i64::try_from(chance.below(span)).unwrap()),
    };
    let facts: Vec<Raw> = (0..1_500).map(|_| fact(&mut chance)).collect();
    for fact in &facts {
        ground.does(&fact.visitor, fact.what, fact.page, fact.at);
    }
    let buckets = series(&ground.views().await, asked.clone()).await.unwrap();
    compare(&buckets, &facts, &asked, &jiff::tz::TimeZoneDatabase::bundled().get("Asia/Kathmandu").unwrap());
}

/// The rows that are wanted for a series that is one piece.
#[track_caller]
fn wanted(borders: &[i64]) -> Vec<Wanted> {
    let mut all: Vec<Piece> = pieces(borders).unwrap();
    assert_eq!(all.len(), 1, "it is one piece");
    all.remove(0).wanted
}

#[test]
fn a_month_by_day_is_one_page_of_rows_in_every_zone() {
    for zone in jiff::tz::TimeZoneDatabase::bundled().available() {
        let zone = Zone::named(zone.as_str()).unwrap();
        for (from, to) in [
            ("2026-03-10T12:00:00Z", "2026-04-10T12:00:00Z"),
            ("2026-10-10T12:00:00Z", "2026-11-09T12:00:00Z"),
        ] {
            let borders = borders(at(from), at(to), Step::Day, &zone).unwrap();
            let wanted = wanted(&borders);
            let rows: usize = wanted.iter().map(|wanted| wanted.starts.len()).sum();
            let base = rows_for(None).unwrap();
            let questions: usize = wanted.iter().map(|wanted| wanted.queries(&base).len()).sum();
            assert!(rows <= 1_000 && questions <= 3, "{}: {rows} rows by {questions} questions", zone.name());
        }
    }
    let borders =
        borders(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"), Step::Day, &Zone::UTC).unwrap();
    assert_eq!(wanted(&borders).iter().map(|wanted| wanted.starts.len()).sum::<usize>(), 30);
}

#[test]
fn the_longest_series_in_the_oddest_zone_asks_in_pieces_that_a_store_takes() {
    let hour = 3_600_000_000;
    let to = micros(i64::try_from(BUCKETS_MAX - 2).unwrap() * hour);
    let borders = borders(micros(0), to, Step::Hour, &Zone::named("Asia/Kathmandu").unwrap()).unwrap();
    let table = SiteAnalyticsView.tables().remove(0);
    for wanted in pieces(&borders).unwrap().iter().flat_map(|piece| &piece.wanted) {
        for query in wanted.queries(&rows_for(None).unwrap()) {
            query.check(&table).unwrap();
        }
    }
}

#[tokio::test]
async fn visitors_are_exact_up_to_the_stated_sizes_and_near_enough_beyond() {
    let mut ground = Ground::of(SiteAnalyticsView);
    let (morning, evening) = (at("2026-11-21T08:05:00Z"), at("2026-11-21T20:05:00Z"));
    for visitor in 0..EXACT_HOUR {
        ground.does(&format!("m{visitor}"), What::View, Some("/"), morning);
    }
    for visitor in 0..EXACT_MAX - EXACT_HOUR {
        ground.does(&format!("e{visitor}"), What::View, Some("/"), evening);
    }
    let hour = |from: &str, to: &str| asked(from, to, Step::Hour, "UTC");
    let unique = |bucket: &Bucket| (bucket.totals.unique, bucket.totals.unique_is_exact);
    let views = ground.views().await;
    let found = series(&views, hour("2026-11-21T08:00:00Z", "2026-11-21T09:00:00Z")).await.unwrap();
    assert_eq!(unique(&found[0]), (i64::try_from(EXACT_HOUR).unwrap(), true));
    let found = series(&views, hour("2026-11-21T20:00:00Z", "2026-11-21T21:00:00Z")).await.unwrap();
    let (many, exact) = unique(&found[0]);
    assert!(!exact && (many as f64 / 800.0 - 1.0).abs() < 0.1, "{many}");
    let day = asked("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", Step::Day, "UTC");
    let found = series(&views, day.clone()).await.unwrap();
    assert_eq!(unique(&found[0]), (i64::try_from(EXACT_MAX).unwrap(), true));
    assert_eq!(totals(&views, None).await.unwrap(), found[0].totals);
    // What a row says by itself is what the function says.
    let row = ground.row(NAME, &["day".into(), at("2026-11-21T00:00:00Z").into()]);
    assert_eq!(row.integer("visitors"), Some(i64::try_from(EXACT_MAX).unwrap()));
    assert_eq!(row.get("visitors_exact"), &true.into());

    ground.does("one-more", What::View, Some("/"), evening);
    let (many, exact) = unique(&series(&ground.views().await, day).await.unwrap()[0]);
    assert!(!exact && (many as f64 / 1_001.0 - 1.0).abs() < 0.1, "{many}");
}

#[tokio::test]
async fn who_may_not_read_all_gets_a_series_of_nothing() {
    let mut ground = Ground::of(SiteAnalyticsView);
    ground.does("ada", What::View, Some("/"), at("2026-11-21T08:05:00Z"));
    let views = ground.views().await;
    let day = asked("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", Step::Day, "UTC");
    let found = series(&views, Series { streams: only("ada"), ..day.clone() }).await.unwrap();
    assert_eq!((found.len(), found[0].totals.facts), (1, 0));
    assert_eq!(totals(&views, only("ada")).await.unwrap().facts, 0);
    let found = series(&views, Series { streams: everything(), ..day }).await.unwrap();
    assert_eq!(found[0].totals.facts, 1);
}

#[tokio::test]
async fn no_row_names_a_visitor() {
    let mut ground = Ground::of(SiteAnalyticsView);
    ground.does("ada-of-the-night", What::View, Some("/"), at("2026-11-21T08:05:00Z"));
    let rows = ground.rows(NAME);
    assert_eq!(rows.len(), 5);
    assert!(!format!("{rows:?}").contains("ada-of"));
}
