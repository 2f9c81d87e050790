//! `/api/analytics`: what visitors did, counted, as far as whoever asks may see it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flightdeck_analytics::VisitorId;
use flightdeck_analytics::visitor::Visitor;
use flightdeck_core::{Decider as _, Timestamp, Version};
use flightdeck_projections::as_of::{Beyond, Moment};
use flightdeck_store::Limit;
use flightdeck_store::view::{Answers, Row, ViewCursor, ViewPage};
use flightdeck_views::site_analytics::{Series, SeriesError, Totals, series, totals};
use flightdeck_views::user_activity::{
    Timeline, TimelineError, activity_of, most_active, pages_of, timeline,
};
use flightdeck_views::zone::{InvalidSpan, Step, Zone};
use flightdeck_views::{Asked, pages, sessions, site_analytics, user_activity};
use flightdeck_wire::analytics as wire;

use crate::authorise::{Action, Object};
use crate::call::{Call, json};
use crate::operation::{Answer, Operation};
use crate::page::{ListMoment, linked};
use crate::params::Params;
use crate::problem::{Code, Problem};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/analytics/site",
            "getSiteAnalytics",
            "What happened on the site: ever, and in a time, by hour, day, week or month.",
        )
        .query::<Timestamp>(
            "from",
            "From when on; 24 hours, 30 days, 12 weeks or 12 months before the end when it is not said.",
        )
        .query::<Timestamp>("to", "Until when, itself excluded; now when it is not said.")
        .query::<wire::Grain>("grain", "How long a bucket is; a day when it is not said.")
        .query::<ZoneParam>(
            "zone",
            "The zone whose hours, days, weeks and months are meant; UTC when it is not said.",
        )
        .query::<ListMoment>("at", "As it was: at a cursor, or a time.")
        .min_position()
        .answers::<wire::Site>(200, "The counts.")
        .refuses(&[410, 422])
        .to(site),
        Operation::get("/api/analytics/visitors", "listVisitors", "The visitors, in an order.")
            .query::<wire::VisitorsBy>("sort", "In which order; the most active first when it is not said.")
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<wire::Visitors>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(visitors),
        Operation::get(
            "/api/analytics/visitors/{visitorId}",
            "getVisitor",
            "What one visitor did: in all, on which pages, in one go, and one by one.",
        )
        .path::<VisitorId>("visitorId", "The visitor.")
        .query::<crate::params::LimitParam>("limit", "How many of each at most.")
        .query::<crate::params::NextParam>("pagesAfter", "Behind where its pages ended: their `next`.")
        .query::<crate::params::NextParam>("sessionsAfter", "Behind where its sessions ended: their `next`.")
        .query::<Version>("timelineBefore", "Before where its timeline ended: its `next`.")
        .min_position()
        .answers::<wire::VisitorDetails>(200, "What it did.")
        .refuses(&[404])
        .to(visitor),
        Operation::get("/api/analytics/pages", "listPages", "The pages of the site, in an order.")
            .query::<wire::PagesBy>("sort", "In which order; the most looked at first when it is not said.")
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<wire::Pages>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(list_pages),
    ]
}

impl From<SeriesError> for Problem {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::Span(InvalidSpan::Backwards) => Self::field("to", "is before `from`"),
            SeriesError::Span(wrong @ (InvalidSpan::TooMany | InvalidSpan::TooMuch)) => {
                Self::new(Code::TooMuch, format!("{wrong}."))
            }
            SeriesError::View(error) => error.into(),
        }
    }
}

impl From<TimelineError> for Problem {
    fn from(error: TimelineError) -> Self {
        match error {
            TimelineError::Word(error) => error.into(),
            TimelineError::Store(error) => error.into(),
        }
    }
}

/// Asks a view as it is now, and then not before `FlightDeck-Min-Position` is there; or as it was at a moment.
async fn ask<T>(
    call: &Call,
    view: &str,
    at: Option<&Moment>,
    ask: impl AsyncFnOnce(&dyn Answers) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let Some(moment) = at else {
        wait_for(call, view).await?;
        return ask(&call.views).await;
    };
    call.wait_for_log().await?;
    let past = call.as_of.at(call.view(view)?, moment, Beyond::Refuse).await?;
    let answer = ask(&past).await;
    past.end().await;
    answer
}

/// Waits until a view is where whoever asks has seen it.
async fn wait_for(call: &Call, view: &str) -> Result<(), Problem> {
    call.wait_for(call.view(view)?).await
}

const fn step(grain: wire::Grain) -> Step {
    match grain {
        wire::Grain::Hour => Step::Hour,
        wire::Grain::Day => Step::Day,
        wire::Grain::Week => Step::Week,
        wire::Grain::Month => Step::Month,
    }
}

/// How much time is told of when nobody says, in days.
const fn days(grain: wire::Grain) -> i64 {
    match grain {
        wire::Grain::Hour => 1,
        wire::Grain::Day => 30,
        wire::Grain::Week => 7 * 12,
        wire::Grain::Month => 365,
    }
}

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

async fn site(call: Call) -> Answer {
    let mut params = call.params();
    let grain = params.word::<wire::Grain>("grain").unwrap_or_default();
    let to = params.parse("to").unwrap_or_else(|| call.clock.now());
    let from: Option<Timestamp> = params.parse("from");
    let zone = params.read("zone", Zone::named).unwrap_or_default();
    let at = params.list_moment();
    params.finish()?;
    call.may(Action::Read, Object::Whole(Visitor::CATEGORY))?;
    let from = match from {
        Some(from) => from,
        None => Timestamp::from_micros(to.micros().saturating_sub(days(grain) * DAY_MICROS)).unwrap_or(to),
    };
    let name = zone.name().to_owned();
    let asked = Series { from, to, step: step(grain), zone, streams: call.readable() };
    let counted = ask(&call, site_analytics::NAME, at.as_ref(), async |answers| {
        Ok((series(answers, asked).await?, totals(answers, call.readable()).await?))
    });
    let (buckets, totals) = counted.await?;
    let bucket = |bucket: site_analytics::Bucket| wire::Bucket {
        start: bucket.start,
        end: bucket.end,
        counts: counts(&bucket.totals),
    };
    let series = buckets.into_iter().map(bucket).collect();
    Ok(json(200, &wire::Site { grain, zone: name, totals: counts(&totals), series }))
}

const fn counts(totals: &Totals) -> wire::Counts {
    wire::Counts {
        views: totals.views,
        clicks: totals.clicks,
        forms: totals.forms,
        facts: totals.facts,
        visitors: totals.unique,
        visitors_exact: totals.unique_is_exact,
    }
}

fn number(row: &Row, column: &str) -> i64 {
    row.integer(column).unwrap_or(0)
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.text(column).map(str::to_owned)
}

/// A time that a row always has.
fn time(row: &Row, column: &str) -> Result<Timestamp, Problem> {
    row.time(column).ok_or_else(|| Problem::new(Code::Internal, "A row of the view has no time."))
}

fn next(page: &ViewPage) -> Option<String> {
    page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next.to_text()))
}

fn cursor(params: &mut Params, name: &str) -> Option<ViewCursor> {
    params.read(name, |text| {
        let text = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| ViewCursor::from_text(&text).ok()).ok_or("is not the `next` of such a list")
    })
}

fn told_visitor(row: &Row) -> Result<wire::Visitor, Problem> {
    Ok(wire::Visitor {
        visitor_id: text(row, "visitor").unwrap_or_default(),
        facts: number(row, "facts"),
        views: number(row, "views"),
        clicks: number(row, "clicks"),
        forms: number(row, "forms"),
        others: number(row, "others"),
        pages: number(row, "pages"),
        first_active: time(row, "first_active")?,
        last_active: time(row, "last_active")?,
    })
}

async fn visitors(call: Call) -> Answer {
    let mut params = call.params();
    let by = match params.word::<wire::VisitorsBy>("sort").unwrap_or_default() {
        wire::VisitorsBy::Active => user_activity::By::Facts,
        wire::VisitorsBy::Views => user_activity::By::Views,
        wire::VisitorsBy::Recent => user_activity::By::LastActive,
    };
    let asked = asked(&call, &mut params, "after");
    let at = params.list_moment();
    params.finish()?;
    call.may(Action::Read, Object::Whole(Visitor::CATEGORY))?;
    let page = ask(&call, user_activity::NAME, at.as_ref(), async |answers| {
        Ok(most_active(answers, by, asked).await?)
    });
    let page = page.await?;
    let items = page.rows.iter().map(told_visitor).collect::<Result<_, _>>()?;
    let next = next(&page);
    Ok(linked(&call, next.clone().as_deref(), &wire::Visitors { items, next }))
}

fn asked(call: &Call, params: &mut Params, after: &str) -> Asked {
    Asked { after: cursor(params, after), limit: params.limit(), streams: call.readable() }
}

fn told_page_of(row: &Row) -> Result<wire::VisitorPage, Problem> {
    Ok(wire::VisitorPage {
        page_id: text(row, "page").unwrap_or_default(),
        facts: number(row, "facts"),
        views: number(row, "views"),
        clicks: number(row, "clicks"),
        forms: number(row, "forms"),
        others: number(row, "others"),
        first_active: time(row, "first_active")?,
        last_active: time(row, "last_active")?,
    })
}

fn told_session(row: &Row) -> Result<wire::Session, Problem> {
    Ok(wire::Session {
        number: number(row, "number"),
        started_at: time(row, "started_at")?,
        ended_at: time(row, "ended_at")?,
        first_version: number(row, "first_version"),
        last_version: number(row, "last_version"),
        facts: number(row, "facts"),
        views: number(row, "views"),
        entry_page: text(row, "entry_page"),
        exit_page: text(row, "exit_page"),
        referrer: text(row, "referrer"),
    })
}

async fn visitor(call: Call) -> Answer {
    let mut params = call.params();
    let limit = params.limit();
    let (pages, sessions) = (cursor(&mut params, "pagesAfter"), cursor(&mut params, "sessionsAfter"));
    let before = params.read("timelineBefore", |text| match text.parse().map(Version::new) {
        Ok(Ok(version)) => Ok(version),
        _ => Err("is not the `next` of a timeline"),
    });
    params.finish()?;
    let id: VisitorId = call.path("visitorId")?;
    let stream = id.stream(Visitor::CATEGORY)?;
    call.may(Action::Read, Object::Stream(&stream))?;
    for view in [user_activity::NAME, sessions::NAME] {
        wait_for(&call, view).await?;
    }
    let asked = |after| Asked { after, limit, streams: call.readable() };
    let activity = activity_of(&*call.views, &id, call.readable()).await?;
    if activity.is_none() && call.store.stream(&stream).await?.is_none() {
        return Err(Problem::not_found("visitor"));
    }
    let pages = pages_of(&*call.views, &id, asked(pages)).await?;
    let sessions = sessions::sessions_of(&*call.views, &id, asked(sessions)).await?;
    let timeline = told_timeline(&call, &id, before, limit).await?;
    let told = wire::VisitorDetails {
        activity: activity.as_ref().map(told_visitor).transpose()?,
        pages: wire::VisitorPages {
            items: pages.rows.iter().map(told_page_of).collect::<Result<_, _>>()?,
            next: next(&pages),
        },
        sessions: wire::Sessions {
            items: sessions.rows.iter().map(told_session).collect::<Result<_, _>>()?,
            next: next(&sessions),
        },
        timeline,
    };
    Ok(json(200, &told))
}

async fn told_timeline(
    call: &Call,
    visitor: &VisitorId,
    before: Option<Version>,
    limit: Limit,
) -> Result<wire::Timeline, Problem> {
    let page = timeline(&*call.store, visitor, Timeline { before, after: None, limit }).await?;
    let done = |done: user_activity::Done| {
        let recorded = done.recorded;
        let text = recorded.data.json().map(|json| String::from_utf8_lossy(json.as_bytes()).into_owned());
        wire::Done {
            version: recorded.version,
            position: recorded.position,
            event_type: recorded.event_type.as_str().to_owned(),
            recorded_at: recorded.recorded_at,
            data: text.and_then(|text| serde_json::value::RawValue::from_string(text).ok()),
        }
    };
    let next = page.next.and_then(|next| next.before);
    Ok(wire::Timeline { items: page.done.into_iter().map(done).collect(), next })
}

async fn list_pages(call: Call) -> Answer {
    let mut params = call.params();
    let by = match params.word::<wire::PagesBy>("sort").unwrap_or_default() {
        wire::PagesBy::Views => pages::By::Views,
        wire::PagesBy::Active => pages::By::Facts,
        wire::PagesBy::Recent => pages::By::LastViewed,
    };
    let asked = asked(&call, &mut params, "after");
    let at = params.list_moment();
    params.finish()?;
    call.may(Action::Read, Object::Whole(Visitor::CATEGORY))?;
    let page =
        ask(&call, pages::NAME, at.as_ref(), async |answers| Ok(pages::top_pages(answers, by, asked).await?));
    let page = page.await?;
    let told = |row: &Row| wire::Page {
        page_id: text(row, "page").unwrap_or_default(),
        title: text(row, "title"),
        counts: wire::Counts {
            views: number(row, "views"),
            clicks: number(row, "clicks"),
            forms: number(row, "forms"),
            facts: number(row, "facts"),
            visitors: number(row, "visitors"),
            visitors_exact: *row.get("visitors_exact") == true.into(),
        },
        first_viewed: row.time("first_viewed"),
        last_viewed: row.time("last_viewed"),
    };
    let items = page.rows.iter().map(told).collect();
    let next = next(&page);
    Ok(linked(&call, next.clone().as_deref(), &wire::Pages { items, next }))
}

/// Describes a zone.
struct ZoneParam;

impl schemars::JsonSchema for ZoneParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["Europe/Berlin", "America/New_York", "UTC"] })
    }
}
