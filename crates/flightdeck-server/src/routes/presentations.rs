//! `/api/presentations`: presentations, what they were, and what can be asked of them. Their slides are in `slides.rs`.

pub(super) mod slides;

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::ETAG;
use bytes::Bytes;
use flightdeck_core::Decider as _;
use flightdeck_domain::PresentationId;
use flightdeck_domain::presentation::{self, Command, Created, Deck, Presentation, State, Updated};
use flightdeck_domain::words::Author;
use flightdeck_store::Handler;
use flightdeck_store::view::{Compare, Row, Value, ViewQuery};
use flightdeck_views::presentations as view;
use flightdeck_wire::presentation as wire;
use futures_util::{StreamExt as _, stream};

use super::thing::{self, Found, MERGE_PATCH, MomentParam, Resource, Stamp};
use crate::authorise::Action;
use crate::call::{Body, Call};
use crate::desk::Desk;
use crate::operation::{Answer, JSON, Operation};
use crate::page::{self, Cells as _, ListMoment, Listed, WordsParam};
use crate::problem::{Code, Problem, sentence};

/// So many slides are told at once,
const SLIDES_AT_ONCE: usize = 16;
/// and of more about so many bytes.
const PIECE_BYTES: usize = 16 * 1024;

pub(super) fn operations() -> Vec<Operation> {
    [collection(), one(), past(), slides::operations()].into_iter().flatten().collect()
}

fn collection() -> Vec<Operation> {
    vec![
        Operation::get("/api/presentations", "listPresentations", "The presentations, those that changed last first.")
            .query::<Author>("author", "Only presentations of this author.")
            .query::<bool>("isPublic", "Only presentations that everyone may see, or only others.")
            .query::<WordsParam>("q", "Only presentations with all of these words; a `*` behind one stands for whatever goes on from there.")
            .query::<wire::PresentationSort>("sort", "In which order.")
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<wire::Presentations>(200, "A page of them, without their slides.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(list),
        Operation::post("/api/presentations", "createPresentation", "Makes a presentation. It has no slides yet.")
            .takes::<wire::NewPresentation>(JSON)
            .answers::<wire::Presentation>(201, "It is there.")
            .with(&["ETag", "Location", "FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[412])
            .to(create),
    ]
}

fn one() -> Vec<Operation> {
    let written = &["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"];
    vec![
        Operation::get(
            "/api/presentations/{id}",
            "getPresentation",
            "One presentation with its slides, as it is or as it was.",
        )
        .path::<PresentationId>("id", "Its id.")
        .query::<MomentParam>("at", "As it was: at a version such as `v3`, a cursor, or a time.")
        .min_position()
        .answers::<wire::Presentation>(200, "It is there.")
        .with(&["ETag"])
        .refuses(&[404, 410, 422])
        .to(get),
        Operation::patch(
            "/api/presentations/{id}",
            "changePresentation",
            "Changes some of a presentation: absent leaves, `null` clears.",
        )
        .path::<PresentationId>("id", "Its id.")
        .takes::<wire::PresentationPatch>(MERGE_PATCH)
        .takes::<wire::PresentationPatch>(JSON)
        .if_match()
        .answers::<wire::Presentation>(200, "It is so.")
        .with(written)
        .refuses(&[404, 410])
        .to(change),
        Operation::delete(
            "/api/presentations/{id}",
            "deletePresentation",
            "Deletes a presentation with its slides, for good. Its history stays.",
        )
        .path::<PresentationId>("id", "Its id.")
        .if_match()
        .answers_nothing(204, "It is deleted.")
        .with(written)
        .refuses(&[404, 410])
        .to(async |call: Call, body: Body| thing::delete::<Presentation>(call, body, Command::Delete).await),
    ]
}

fn past() -> Vec<Operation> {
    vec![
        thing::history_of("/api/presentations/{id}/history", "getPresentationHistory")
            .path::<PresentationId>("id", "Its id.")
            .to(thing::history::<Presentation>),
        thing::diff_of("/api/presentations/{id}/diff", "comparePresentation")
            .path::<PresentationId>("id", "Its id.")
            .to(thing::diff::<Presentation>),
    ]
}

impl From<presentation::Error> for Problem {
    fn from(error: presentation::Error) -> Self {
        use presentation::Error;
        let detail = sentence(&error);
        match error {
            Error::Exists | Error::SlideExists(_) => Self::new(Code::Exists, detail),
            Error::NeverWas => Self::not_found("presentation"),
            Error::Deleted => Self::new(Code::Deleted, detail),
            Error::SlideNeverWas(_) => Self::new(Code::NotFound, detail),
            Error::SlideRemoved(_) => Self::new(Code::Deleted, detail),
            Error::Full | Error::OtherSlides => Self::new(Code::Refused, detail),
            Error::Content(wrong) => wrong.into(),
        }
    }
}

impl Resource for Presentation {
    type Id = PresentationId;
    type Shown = wire::Presentation;
    const WHAT: &'static str = "presentation";
    const PATH: &'static str = "/api/presentations";
    const HAS_PUBLIC: bool = true;

    fn handler(desk: &Desk) -> &Handler<Self> {
        &desk.presentations
    }

    /// What the speaker wants to remember is the speaker's, and what was taken out is nobody's.
    fn public(state: State) -> Option<State> {
        let State::Live(mut deck) = state else { return None };
        deck.slides.iter_mut().for_each(|slide| slide.notes = None);
        deck.removed.clear();
        deck.now.is_public.then_some(State::Live(deck))
    }

    fn shown(state: &State, stamp: Stamp) -> Result<wire::Presentation, Problem> {
        let deck = slides::deck(state)?;
        Ok(wire::Presentation { slides: Some(slides::all(deck)), ..without_slides(deck, stamp) })
    }
}

/// What is told of a presentation, but for its slides.
fn without_slides(deck: &Deck, stamp: Stamp) -> wire::Presentation {
    let Created { presentation_id, title, description, author, theme, is_public } = &deck.now;
    wire::Presentation {
        id: presentation_id.to_string(),
        title: title.to_string(),
        description: description.as_ref().map(ToString::to_string),
        author: author.to_string(),
        theme: theme.to_string(),
        is_public: *is_public,
        slide_count: slides::number(deck.slides.len()),
        slides: Some(Vec::new()),
        version: Some(stamp.version),
        created_at: stamp.created,
        updated_at: stamp.updated,
    }
}

/// `GET` of a presentation. It may be large, and everybody may ask for one that is public: its slides are told one after the other, as they are taken.
async fn get(call: Call) -> Answer {
    let mut params = call.params();
    let at = params.moment("at");
    params.finish()?;
    let found = thing::seen::<Presentation>(&call, at).await?;
    let is_small = matches!(&found.state, State::Live(deck) if deck.slides.len() <= SLIDES_AT_ONCE);
    let State::Live(deck) = found.state else { return thing::answer::<Presentation>(&found) };
    if is_small || *call.request().method() == Method::HEAD {
        return thing::answer::<Presentation>(&Found { state: State::Live(deck), stamp: found.stamp });
    }
    const SLIDES: &str = "\"slides\":[";
    let whole = serde_json::to_string(&without_slides(&deck, found.stamp)).unwrap_or_default();
    // No text has a quote in it that is not escaped.
    let (before, behind) = whole.split_once(SLIDES).unwrap_or_default();
    let (begin, end) = (format!("{before}{SLIDES}"), behind.to_owned());
    let told = stream::unfold((deck, 0), |(deck, mut place)| async move {
        let mut out = Vec::new();
        while let Some(slide) = deck.slides.get(place).filter(|_| out.len() < PIECE_BYTES) {
            if place > 0 {
                out.push(b',');
            }
            // Writing into memory does not fail.
            drop(serde_json::to_writer(&mut out, &slides::told(place, slide)));
            place += 1;
        }
        (!out.is_empty()).then(|| (Bytes::from(out), (deck, place)))
    });
    let pieces = stream::once(async { Bytes::from(begin) })
        .chain(told)
        .chain(stream::once(async { Bytes::from(end) }));
    let mut answer = HttpResponse::Ok();
    answer.content_type(JSON).insert_header((ETAG, format!("\"{}\"", found.stamp.version)));
    Ok(answer.streaming(pieces.map(Ok::<_, Infallible>)))
}

/// A presentation of the view.
fn listed(row: &Row) -> Result<wire::Presentation, Problem> {
    Ok(wire::Presentation {
        id: row.needed_text("id")?,
        title: row.needed_text("title")?,
        description: row.some_text("description"),
        author: row.needed_text("author")?,
        theme: row.needed_text("theme")?,
        is_public: *row.get("is_public") == Value::Boolean(true),
        slide_count: row.integer("slide_count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        slides: None,
        version: None,
        created_at: row.needed_time("created_at")?,
        updated_at: row.needed_time("updated_at")?,
    })
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let author = params.parse::<Author>("author");
    let is_public = params.read("isPublic", |text| text.parse::<bool>().map_err(|_| "is not true or false"));
    let (words, sort) = (params.text("q"), params.word::<wire::PresentationSort>("sort").unwrap_or_default());
    let (at, after, limit) = (params.list_moment(), params.list_cursor(), params.limit());
    params.finish()?;
    let query = call.query_of(Presentation::CATEGORY, view::NAME, view::NUMBER, at.as_ref(), || {
        ("is_public", Value::from(true))
    });
    let mut query = query?
        .text(words.as_deref().unwrap_or_default())
        .sorted("updated_at", sort == wire::PresentationSort::UpdatedLast);
    if let Some(author) = author {
        query = query.filter("author", Compare::Equal(author.as_str().into()));
    }
    if let Some(is_public) = is_public {
        query = query.filter("is_public", Compare::Equal(is_public.into()));
    }
    let query = ViewQuery { after, limit, ..query };
    let Listed { rows, next } = page::list(&call, query, at.as_ref()).await?;
    let items = rows.into_iter().map(|row| listed(&row)).collect::<Result<_, _>>()?;
    let told = wire::Presentations { items, next };
    Ok(page::linked(&call, told.next.as_deref(), &told))
}

async fn create(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let (id, stream) = thing::unnamed::<Presentation>(&call)?;
    let body = body.json(&call).await?;
    let caller = call.principal().actor.as_ref().and_then(|actor| Author::new(actor).ok());
    let command = Command::Create(Created::read(id, &body, caller)?);
    thing::create::<Presentation>(&call, &stream, command, &body).await
}

async fn change(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Presentation>(&call, Action::Write)?;
    let patch = thing::patch(&call, body).await?;
    let command = Command::Change(Updated::read(call.path("id")?, &patch)?);
    thing::change::<Presentation>(&call, &stream, command, patch.as_bytes()).await
}
