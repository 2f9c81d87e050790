//! Every view of ours, as of any moment: what it answered live, to whatever question, at whatever place of the log, is answered again, and so
//! are its analytics. (A16)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flightdeck_core::{EventType, Position, Timestamp};
use flightdeck_projections::as_of::{AsOfOptions, Beyond, Moment, Past, is_scratch};
use flightdeck_projections::{AsOf, Defined, Projection, Runner};
use flightdeck_store::view::{Answers, Compare, Kind, ViewPage, ViewQuery, ViewStore};
use flightdeck_store::{Append, EventStore, Limit, StreamPattern};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_tests::contents::Dice;
use flightdeck_tests::set_clock::SetClock;
use flightdeck_tests::site::Site;
use flightdeck_tests::views::name;
use flightdeck_views::zone::{Step, Zone};
use flightdeck_views::{Asked, log_days, log_streams, pages, sessions, site_analytics, user_activity};

use super::{at_the_head, quick};
use crate::postgres::Place;
use crate::victim::block_on;

const SEED: u64 = 20_261_127;
/// At how many places the views are asked, at least.
const PLACES_MIN: usize = 40;
/// When the site's facts begin, and a while later.
const BEGIN: i64 = 1_703_980_800_000_000;
const DAY: i64 = 86_400_000_000;

/// What a view was asked, and what it answered.
type Answered = Vec<(ViewQuery, ViewPage)>;

/// What live views answered.
#[derive(Default)]
struct Record {
    /// By view, and how far it was folded.
    answers: BTreeMap<(String, Position), Answered>,
    /// By view and place, the same, with the moment of that: analytics, as text.
    analytics: BTreeMap<(String, Position), (Timestamp, String)>,
}

impl Record {
    fn places(&self) -> usize {
        self.answers.keys().map(|(_, at)| *at).collect::<BTreeSet<Position>>().len()
    }

    fn many(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }
}

fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn few(limit: usize) -> Asked {
    Asked { limit: Limit::new(limit).unwrap(), ..Asked::default() }
}

/// Some question to some table of a view: some order, some condition, some words, some rights, some limit.
fn question(dice: &mut Dice, projection: &dyn Projection) -> ViewQuery {
    let mut one_of = |many: usize| usize::try_from(dice.roll(u64::try_from(many).unwrap())).unwrap();
    let tables = projection.tables();
    let table = &tables[one_of(tables.len())];
    let mut query = ViewQuery::of(name(projection.name()), projection.number(), table.name());
    for _ in 0..one_of(3) {
        let column = &table.columns()[one_of(table.columns().len())];
        if !matches!(column.kind, Kind::List | Kind::Json) {
            query = query.sorted(&column.name, one_of(2) == 0);
        }
    }
    let column = &table.columns()[one_of(table.columns().len())];
    match (one_of(3), column.kind) {
        (0, Kind::Integer) => query = query.filter(&column.name, Compare::More((one_of(4) as i64).into())),
        (0, _) if column.nullable => query = query.filter(&column.name, Compare::IsNotNull),
        _ => {}
    }
    if !table.searched().is_empty() && one_of(3) == 0 {
        query = query.text(["talk", "user*", "a*", "words", "n*"][one_of(5)]);
    }
    if one_of(5) == 0 {
        let begin = ["", "visitor-v1", "presentation-p2", "content-c1", "user-"][one_of(5)];
        query.streams = Some(vec![StreamPattern::Prefix(begin.into())]);
    }
    ViewQuery { limit: Limit::new([1, 3, 10, 1_000][one_of(4)]).unwrap(), ..query }
}

fn listed(page: &ViewPage) -> String {
    format!("{:?} {:?} {:?}", page.rows, page.next, page.checkpoint)
}

/// What the functions of a view say, asked of now or of then.
async fn analytics(view: &str, views: &(impl Answers + ?Sized)) -> Option<String> {
    let visitor = "v3".parse().unwrap();
    Some(match view {
        site_analytics::NAME => {
            let mut all = format!("{:?}", site_analytics::totals(views, None).await.unwrap());
            for (step, zone) in
                [(Step::Day, "UTC"), (Step::Hour, "Asia/Kathmandu"), (Step::Week, "Europe/Berlin")]
            {
                let (from, to) = (micros(BEGIN + 1), micros(BEGIN + 12 * DAY));
                let zone = Zone::named(zone).unwrap();
                let asked = site_analytics::Series { from, to, step, zone, streams: None };
                all.push_str(&format!("{:?}", site_analytics::series(views, asked).await.unwrap()));
            }
            all
        }
        log_days::NAME => {
            let mut all = String::new();
            for event_type in [None, Some(EventType::new("PageViewed").unwrap())] {
                let (from, to) = (micros(1_700_000_000_000_000), micros(1_700_000_000_000_000 + 3 * DAY));
                let days = log_days::Days { from, to, event_type, average_over: 2, streams: None };
                all.push_str(&format!("{:?}", log_days::days(views, days).await.unwrap()));
            }
            all
        }
        user_activity::NAME => {
            let mut all = String::new();
            for by in [user_activity::By::Facts, user_activity::By::Views, user_activity::By::LastActive] {
                all.push_str(&listed(&user_activity::most_active(views, by, few(7)).await.unwrap()));
            }
            let own = user_activity::activity_of(views, &visitor, None).await.unwrap();
            let pages = user_activity::pages_of(views, &visitor, few(5)).await.unwrap();
            format!("{all} {own:?} {}", listed(&pages))
        }
        pages::NAME => {
            let mut all = format!("{:?}", pages::page(views, "/p/7", None).await.unwrap());
            for by in [pages::By::Views, pages::By::Facts, pages::By::LastViewed] {
                all.push_str(&listed(&pages::top_pages(views, by, few(7)).await.unwrap()));
            }
            all
        }
        sessions::NAME => {
            let own = sessions::sessions_of(views, &visitor, few(5)).await.unwrap();
            listed(&own) + &listed(&sessions::last_sessions(views, few(9)).await.unwrap())
        }
        log_streams::NAME => {
            let active =
                log_streams::streams(views, log_streams::Streams::Active, None, few(9)).await.unwrap();
            let since = log_streams::Streams::InactiveSince(micros(1_700_001_000_000_000));
            listed(&active) + &listed(&log_streams::streams(views, since, None, few(9)).await.unwrap())
        }
        _ => return None,
    })
}

/// Lets a site happen while all views are folded, and asks them all the time.
async fn recorded(
    store: &Arc<dyn EventStore>,
    views: &Arc<dyn ViewStore>,
    clock: &SetClock,
    answers: usize,
) -> Record {
    let (mut site, mut dice, mut record) = (Site::of(SEED), Dice::new(SEED), Record::default());
    let all = flightdeck_views::all();
    let runner = Runner::new(Arc::clone(store), Arc::clone(views)).options(quick());
    let running = runner.projections(flightdeck_views::all()).start().await.unwrap();
    for number in 0_i64.. {
        let now = micros(1_700_000_000_000_000 + number * 561_234_567);
        clock.set(now);
        store.append(Append::of(site.append())).await.unwrap();
        if number % 10 == 0 {
            let head = store.head().await.unwrap().cursor.position();
            for projection in &all {
                let view = projection.name();
                at_the_head(&**store, &running, view, projection.number()).await;
                if let Some(said) = analytics(view, &**views).await {
                    record.analytics.insert((view.to_owned(), head), (now, said));
                }
            }
        }
        for _ in 0..2 {
            let projection = &all[usize::try_from(dice.roll(all.len() as u64)).unwrap()];
            for _ in 0..2 {
                let query = question(&mut dice, &**projection);
                let page = views.ask(&query).await.unwrap();
                let behind = query.next(&page);
                let mut keep = |query: ViewQuery, page: ViewPage| {
                    let key = (projection.name().to_owned(), page.checkpoint.position);
                    record.answers.entry(key).or_default().push((query, page));
                };
                keep(query, page);
                if let Some(behind) = behind {
                    let page = views.ask(&behind).await.unwrap();
                    keep(behind, page);
                }
            }
        }
        // How far views are behind differs from machine to machine, and so does at how many places they were asked.
        if record.many() >= answers && record.places() >= PLACES_MIN {
            break;
        }
    }
    running.stop().await;
    record
}

/// What was recorded is worth asking again: of every view, at many places, and of more than nothing.
fn check(record: &Record) {
    let views: BTreeSet<&str> = record.answers.keys().map(|(view, _)| view.as_str()).collect();
    assert_eq!(views.len(), flightdeck_views::all().len(), "{views:?}");
    assert!(record.places() >= PLACES_MIN, "at {} places", record.places());
    let answers = || record.answers.values().flatten();
    let (rows, behind) = (
        answers().filter(|(_, page)| !page.rows.is_empty()).count(),
        answers().filter(|(query, page)| query.after.is_some() && !page.rows.is_empty()).count(),
    );
    let many = record.many();
    assert!(2 * rows > many && 8 * behind > many, "{rows} and {behind} of {many} have rows");
    let said: BTreeSet<&str> = record.analytics.values().map(|(_, said)| said.as_str()).collect();
    assert!(record.analytics.len() >= 12 && said.len() + 6 >= record.analytics.len(), "{} said", said.len());
}

async fn again(past: &Past, way: &str, answers: &Answered) {
    for (query, page) in answers {
        let again = past.ask(query).await.unwrap();
        let again = ViewPage { of: page.of.clone(), ..again };
        assert!(again == *page, "{way}, as of {}: {query:?}\n{again:?}\n{page:?}", page.checkpoint.position);
    }
}

/// Asks for all of it in memory, and for one in so many from scratch generations.
async fn gives_recorded_answers_again(
    store: &Arc<dyn EventStore>,
    views: &Arc<dyn ViewStore>,
    record: &Record,
    one_in: usize,
) {
    let defined: BTreeMap<&str, Defined> = flightdeck_views::all()
        .into_iter()
        .map(|projection| (projection.name(), Defined::new(projection).unwrap()))
        .collect();
    let memory = AsOf::new(Arc::clone(store), Arc::clone(views));
    let scratch = memory.clone().options(AsOfOptions { events_max: 0, ..AsOfOptions::default() });
    let mut built = BTreeSet::new();
    for (number, ((view, at), answers)) in record.answers.iter().enumerate() {
        let (defined, moment) = (&defined[view.as_str()], Moment::Position(*at));
        let past = memory.at(defined, &moment, Beyond::Refuse).await.unwrap();
        again(&past, "in memory", answers).await;
        past.end().await;
        if number % one_in == 0 {
            let past = scratch.at(defined, &moment, Beyond::Scratch).await.unwrap();
            built.extend(past.scratch().map(|_| view));
            again(&past, "from scratch", answers).await;
            past.end().await;
        }
    }
    assert!(built.len() >= 5, "scratch generations of {built:?}");
    for (number, ((view, at), (time, said))) in record.analytics.iter().enumerate() {
        let moment = if number % 2 == 0 { Moment::Position(*at) } else { Moment::Time(*time) };
        let as_of = if number % one_in == 0 { &scratch } else { &memory };
        let past = as_of.at(&defined[view.as_str()], &moment, Beyond::Scratch).await.unwrap();
        assert_eq!(past.checkpoint().position, *at, "{view} at {time}");
        assert!(analytics(view, &past).await.as_ref() == Some(said), "{view} as of {at}");
        past.end().await;
    }
    let all = views.generations().await.unwrap();
    assert!(!all.iter().any(|state| is_scratch(&state.of.view)), "nothing is left");
}

#[test]
fn on_sqlite_every_view_gives_1000_recorded_answers_again() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let clock = Arc::new(SetClock::default());
        let options =
            flightdeck_store_sqlite::Options { clock: Arc::clone(&clock) as _, ..Default::default() };
        let opened = Arc::new(SqliteStore::open(folder.path().join("log.db"), options).unwrap());
        let (store, views) =
            (Arc::clone(&opened) as Arc<dyn EventStore>, Arc::clone(&opened) as Arc<dyn ViewStore>);
        let record = recorded(&store, &views, &clock, 1_000).await;
        check(&record);
        assert!(record.many() >= 1_000);
        gives_recorded_answers_again(&store, &views, &record, 12).await;
        opened.close().await;
    });
}

#[test]
fn on_postgres_every_view_gives_400_recorded_answers_again() {
    let place = Place::new();
    block_on(async {
        let clock = Arc::new(SetClock::default());
        let options =
            flightdeck_store_postgres::Options { clock: Some(Arc::clone(&clock) as _), ..Default::default() };
        let opened = Arc::new(place.open_with(options).await);
        let (store, views) =
            (Arc::clone(&opened) as Arc<dyn EventStore>, Arc::clone(&opened) as Arc<dyn ViewStore>);
        let record = recorded(&store, &views, &clock, 400).await;
        check(&record);
        gives_recorded_answers_again(&store, &views, &record, 16).await;
        opened.close().await;
    });
}
