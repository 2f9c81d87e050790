//! `/api/presentations/{id}/slides`: the slides of a presentation. What expects a version expects one of the presentation.

use flightdeck_core::{StoredEvents as _, StreamId, Version};
use flightdeck_domain::presentation::{
    self, AddSlide, ChangeSlide, Command, Deck, Event, MoveSlide, Presentation, SLIDES_MAX, Slide,
    SlideContent, State,
};
use flightdeck_domain::{PresentationId, SlideId};
use flightdeck_store::{Limit, StreamQuery};
use flightdeck_wire::presentation as wire;

use super::super::thing::{self, MERGE_PATCH, MomentParam};
use crate::authorise::Action;
use crate::call::{Body, Call, versioned};
use crate::operation::{Answer, JSON, Operation};
use crate::page;
use crate::params::LimitParam;
use crate::problem::{Code, Problem};

const WRITTEN: &[&str] = &["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"];

pub(super) fn operations() -> Vec<Operation> {
    all_of_them().into_iter().chain(one()).collect()
}

fn all_of_them() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/presentations/{id}/slides",
            "listSlides",
            "The slides of a presentation, in their order.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .query::<MomentParam>("at", "As they were: at a version such as `v3`, a cursor, or a time.")
        .query::<LimitParam>("limit", "How many at most.")
        .query::<flightdeck_domain::words::SlideOrder>(
            "after",
            "Behind where the page before ended: its `next`.",
        )
        .min_position()
        .answers::<wire::Slides>(200, "A page of them.")
        .with(&["ETag", "Link"])
        .refuses(&[404, 410, 422])
        .to(list),
        Operation::post(
            "/api/presentations/{id}/slides",
            "addSlide",
            "Puts a slide into a presentation; those behind move on.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .takes::<wire::NewSlide>(JSON)
        .if_match()
        .answers::<wire::Slide>(201, "It is there.")
        .with(&["ETag", "Location", "FlightDeck-Position", "FlightDeck-Duplicate"])
        .refuses(&[404, 410])
        .to(add),
        // Before the route of one slide: no slide that is made here has such an id.
        Operation::put(
            "/api/presentations/{id}/slides/order",
            "orderSlides",
            "Puts all slides of a presentation in an order.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .takes::<wire::SlidesInOrder>(JSON)
        .if_match()
        .answers::<wire::Presentation>(200, "They are in that order.")
        .with(WRITTEN)
        .refuses(&[404, 410])
        .to(reorder),
    ]
}

fn one() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/presentations/{id}/slides/{slideId}",
            "getSlide",
            "One slide, as it is or as it was.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .path::<SlideId>("slideId", "The slide.")
        .query::<MomentParam>(
            "at",
            "As it was: at a version of the presentation such as `v3`, a cursor, or a time.",
        )
        .min_position()
        .answers::<wire::Slide>(200, "It is there.")
        .with(&["ETag"])
        .refuses(&[404, 410, 422])
        .to(get),
        Operation::patch(
            "/api/presentations/{id}/slides/{slideId}",
            "changeSlide",
            "Changes some of a slide: absent leaves, `null` clears.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .path::<SlideId>("slideId", "The slide.")
        .takes::<wire::SlidePatch>(MERGE_PATCH)
        .takes::<wire::SlidePatch>(JSON)
        .if_match()
        .answers::<wire::Slide>(200, "It is so.")
        .with(WRITTEN)
        .refuses(&[404, 410])
        .to(change),
        Operation::delete(
            "/api/presentations/{id}/slides/{slideId}",
            "removeSlide",
            "Takes a slide out, for good; those behind move up.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .path::<SlideId>("slideId", "The slide.")
        .if_match()
        .answers_nothing(204, "It is out.")
        .with(WRITTEN)
        .refuses(&[404, 410])
        .to(remove),
        Operation::put(
            "/api/presentations/{id}/slides/{slideId}/order",
            "moveSlide",
            "Moves a slide to another place.",
        )
        .path::<PresentationId>("id", "The presentation.")
        .path::<SlideId>("slideId", "The slide.")
        .takes::<wire::SlidePlace>(JSON)
        .if_match()
        .answers::<wire::Slide>(200, "It is there.")
        .with(WRITTEN)
        .refuses(&[404, 410])
        .to(relocate),
    ]
}

/// The presentation, if it is there.
pub(super) fn deck(state: &State) -> Result<&Deck, Problem> {
    match state {
        State::Absent => Err(presentation::Error::NeverWas.into()),
        State::Deleted => Err(presentation::Error::Deleted.into()),
        State::Live(deck) => Ok(deck),
    }
}

/// All slides of a presentation.
pub(super) fn all(deck: &Deck) -> Vec<wire::Slide> {
    deck.slides.iter().enumerate().map(|(place, slide)| told(place, slide)).collect()
}

/// A number of slides: there are never more than fit.
pub(super) fn number(slides: usize) -> u32 {
    u32::try_from(slides).unwrap_or(u32::MAX)
}

/// One of them.
pub(super) fn told(place: usize, Slide { id, title, content, notes }: &Slide) -> wire::Slide {
    let content = match content {
        SlideContent::Text { text } => wire::SlideContent::Text { text: text.to_string() },
        SlideContent::Markdown { text } => wire::SlideContent::Markdown { text: text.to_string() },
        SlideContent::Code { language, text } => {
            wire::SlideContent::Code { language: language.to_string(), text: text.to_string() }
        }
        SlideContent::Image { url, alt } => {
            wire::SlideContent::Image { url: url.to_string(), alt: alt.as_ref().map(ToString::to_string) }
        }
    };
    wire::Slide {
        id: id.to_string(),
        title: title.as_ref().map(ToString::to_string),
        content,
        notes: notes.as_ref().map(ToString::to_string),
        order: number(place + 1),
    }
}

/// One slide of a presentation, if it has it.
fn find(state: &State, id: &SlideId) -> Result<wire::Slide, Problem> {
    let deck = deck(state)?;
    match deck.slides.iter().position(|slide| slide.id == *id) {
        Some(place) => Ok(told(place, &deck.slides[place])),
        None if deck.removed.contains(id) => Err(presentation::Error::SlideRemoved(id.clone()).into()),
        None => Err(presentation::Error::SlideNeverWas(id.clone()).into()),
    }
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let at = params.moment("at");
    let after = params.read("after", |text| match text.parse::<usize>() {
        Ok(after @ 1..=SLIDES_MAX) => Ok(after),
        _ => Err("is not the `next` of such a list"),
    });
    let limit = params.limit();
    params.finish()?;
    let found = thing::seen::<Presentation>(&call, at).await?;
    let all = all(deck(&found.state)?);
    let (count, begin) = (all.len(), after.unwrap_or(0));
    let items: Vec<wire::Slide> = all.into_iter().skip(begin).take(limit.get()).collect();
    let end = begin.saturating_add(items.len());
    let next = (end < count && !items.is_empty()).then(|| end.to_string());
    let told = wire::Slides { items, next };
    let mut answer = page::linked(&call, told.next.as_deref(), &told);
    thing::tag(&mut answer, found.stamp.version);
    Ok(answer)
}

async fn get(call: Call) -> Answer {
    let mut params = call.params();
    let at = params.moment("at");
    params.finish()?;
    let slide: SlideId = call.path("slideId")?;
    let found = thing::seen::<Presentation>(&call, at).await?;
    let version = Some(found.stamp.version);
    let told = find(&found.state, &slide).map_err(|problem| problem.at_version(version))?;
    Ok(versioned(200, version, &told))
}

async fn add(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Presentation>(&call, Action::Write)?;
    let body = body.json(&call).await?;
    let command = Command::AddSlide(AddSlide::read(SlideId::new(thing::new_id(&call))?, &body)?);
    let handled = call.handle(&call.desk.presentations, &stream, command, body.as_bytes()).await?;
    let (written, found) = thing::done::<Presentation>(&call, handled).await?;
    let version = found.stamp.version;
    // Done before, it was another slide than this one would have been: which, the event says.
    let told = async {
        let before = Version::new(version.get() - 1).ok();
        let one = Limit::new(1).unwrap_or_default();
        let query =
            StreamQuery { after: before, to: Some(version), limit: one, ..StreamQuery::of(stream.clone()) };
        let page = call.store.read_stream(&query).await?;
        let event = page.events.first();
        let event = event
            .map(|event| Event::from_stored(event.event_type.as_str(), event.schema, event.data_bytes()));
        match event {
            Some(Ok(Some(Event::SlideAdded(added)))) => find(&found.state, &added.slide_id),
            _ => Err(Problem::new(Code::Internal, "What was added is nowhere.")),
        }
    };
    let told = told.await.map_err(thing::unknown)?;
    let id = stream.as_str().split_once('-').map_or("", |(_, id)| id);
    let location = format!("/api/presentations/{id}/slides/{}", told.id);
    Ok(written.at(location).json(201, &told))
}

async fn change(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Presentation>(&call, Action::Write)?;
    let slide: SlideId = call.path("slideId")?;
    let patch = thing::patch(&call, body).await?;
    let command = Command::ChangeSlide(ChangeSlide::read(slide.clone(), &patch)?);
    do_to(&call, &stream, &slide, command, patch.as_bytes()).await
}

async fn relocate(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Presentation>(&call, Action::Write)?;
    let slide: SlideId = call.path("slideId")?;
    let body = body.json(&call).await?;
    let command = Command::MoveSlide(MoveSlide::read(slide.clone(), &body)?);
    do_to(&call, &stream, &slide, command, body.as_bytes()).await
}

/// Handles a command to a slide, and answers with what it is then.
async fn do_to(call: &Call, stream: &StreamId, slide: &SlideId, command: Command, body: &[u8]) -> Answer {
    let handled = call.handle(&call.desk.presentations, stream, command, body).await?;
    let (written, found) = thing::done::<Presentation>(call, handled).await?;
    Ok(written.json(200, &find(&found.state, slide).map_err(thing::unknown)?))
}

async fn remove(call: Call, body: Body) -> Answer {
    let slide: SlideId = call.path("slideId")?;
    thing::delete::<Presentation>(call, body, Command::RemoveSlide(slide)).await
}

async fn reorder(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Presentation>(&call, Action::Write)?;
    let body = body.json(&call).await?;
    thing::change::<Presentation>(&call, &stream, Command::read_order(&body)?, body.as_bytes()).await
}
