//! `/api/content`: contents, what they were, and what can be asked of them.

use flightdeck_core::{Decider as _, Tag};
use flightdeck_domain::ContentId;
use flightdeck_domain::content::{self, Change, Command, Content, Create, State};
use flightdeck_domain::words::{Author, Label, Slug};
use flightdeck_store::view::{Compare, Row, Value, ViewQuery};
use flightdeck_store::{Direction, Filter, Handler, Limit, LogQuery};
use flightdeck_views::content as view;
use flightdeck_wire::content as wire;

use super::thing::{self, MERGE_PATCH, MomentParam, Resource, Stamp};
use crate::authorise::{Action, Object};
use crate::call::{Body, Call, unkept};
use crate::desk::Desk;
use crate::operation::{Answer, JSON, Operation};
use crate::page::{self, Cells as _, ListMoment, Listed, WordsParam};
use crate::problem::{Code, Problem, sentence};

pub(super) fn operations() -> Vec<Operation> {
    [collection(), one(), past()].into_iter().flatten().collect()
}

fn collection() -> Vec<Operation> {
    vec![
        Operation::get("/api/content", "listContents", "The contents, those that changed last first.")
            .query::<wire::Status>("status", "Only contents of this status.")
            .query::<Label>("tag", "Only contents with this tag.")
            .query::<Author>("author", "Only contents of this author.")
            .query::<WordsParam>("q", "Only contents with all of these words; a `*` behind one stands for whatever goes on from there.")
            .query::<wire::ContentSort>("sort", "In which order.")
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<wire::Contents>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(list),
        Operation::post("/api/content", "createContent", "Makes a content. It is a draft.")
            .takes::<wire::NewContent>(JSON)
            .answers::<wire::Content>(201, "It is there.")
            .with(&["ETag", "Location", "FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[412])
            .to(create),
        Operation::get("/api/content/by-slug/{slug}", "getContentBySlug", "The content that has a slug now.")
            .path::<Slug>("slug", "The slug.")
            .min_position()
            .answers::<wire::Content>(200, "It is there.")
            .with(&["ETag", "Cache-Control"])
            .refuses(&[404, 410])
            .to(by_slug),
    ]
}

fn one() -> Vec<Operation> {
    let written = &["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"];
    vec![
        Operation::get("/api/content/{id}", "getContent", "One content, as it is or as it was.")
            .path::<ContentId>("id", "Its id.")
            .query::<MomentParam>("at", "As it was: at a version such as `v3`, a cursor, or a time.")
            .min_position()
            .answers::<wire::Content>(200, "It is there.")
            .with(&["ETag"])
            .refuses(&[404, 410, 422])
            .to(thing::get::<Content>),
        Operation::patch(
            "/api/content/{id}",
            "changeContent",
            "Changes some of a content: absent leaves, `null` clears.",
        )
        .path::<ContentId>("id", "Its id.")
        .takes::<wire::ContentPatch>(MERGE_PATCH)
        .takes::<wire::ContentPatch>(JSON)
        .if_match()
        .answers::<wire::Content>(200, "It is so.")
        .with(written)
        .refuses(&[404, 410])
        .to(change),
        Operation::delete(
            "/api/content/{id}",
            "deleteContent",
            "Deletes a content, for good. Its history stays.",
        )
        .path::<ContentId>("id", "Its id.")
        .if_match()
        .answers_nothing(204, "It is deleted.")
        .with(written)
        .refuses(&[404, 410])
        .to(async |call: Call, body: Body| thing::delete::<Content>(call, body, Command::Delete).await),
        Operation::post("/api/content/{id}/publish", "publishContent", "Has everyone see a content.")
            .path::<ContentId>("id", "Its id.")
            .if_match()
            .answers::<wire::Content>(200, "It is published.")
            .with(written)
            .refuses(&[404, 410])
            .to(async |call: Call, body: Body| thing::order::<Content>(call, body, Command::Publish).await),
        Operation::post("/api/content/{id}/archive", "archiveContent", "Puts a content away.")
            .path::<ContentId>("id", "Its id.")
            .if_match()
            .answers::<wire::Content>(200, "It is put away.")
            .with(written)
            .refuses(&[404, 410])
            .to(async |call: Call, body: Body| thing::order::<Content>(call, body, Command::Archive).await),
    ]
}

fn past() -> Vec<Operation> {
    vec![
        thing::history_of("/api/content/{id}/history", "getContentHistory")
            .path::<ContentId>("id", "Its id.")
            .to(thing::history::<Content>),
        thing::diff_of("/api/content/{id}/diff", "compareContent")
            .path::<ContentId>("id", "Its id.")
            .to(thing::diff::<Content>),
    ]
}

impl From<content::Error> for Problem {
    fn from(error: content::Error) -> Self {
        let detail = sentence(&error);
        match error {
            content::Error::Exists => Self::new(Code::Exists, detail),
            content::Error::NeverWas => Self::not_found("content"),
            content::Error::Deleted => Self::new(Code::Deleted, detail),
            content::Error::SlugTaken { by, .. } => {
                Self::new(Code::Taken, detail).with(|told| told.owner = Some(by.to_string()))
            }
            content::Error::Archived => Self::new(Code::Refused, detail),
        }
    }
}

impl Resource for Content {
    type Id = ContentId;
    type Shown = wire::Content;
    const WHAT: &'static str = "content";
    const PATH: &'static str = "/api/content";
    const HAS_PUBLIC: bool = true;

    fn handler(desk: &Desk) -> &Handler<Self> {
        &desk.contents
    }

    fn public(state: State) -> Option<State> {
        let is_public = matches!(&state, State::Live(page) if page.status == content::Status::Published);
        is_public.then_some(state)
    }

    fn shown(state: &State, stamp: Stamp) -> Result<wire::Content, Problem> {
        let page = match state {
            State::Absent => return Err(content::Error::NeverWas.into()),
            State::Deleted => return Err(content::Error::Deleted.into()),
            State::Live(page) => page,
        };
        let content::Created { content_id, title, slug, description, content, format, author, tags } =
            &page.now;
        Ok(wire::Content {
            id: content_id.to_string(),
            title: title.to_string(),
            slug: slug.as_ref().map(ToString::to_string),
            description: description.as_ref().map(ToString::to_string),
            content: content.to_string(),
            format: match format {
                content::Format::Markdown => wire::Format::Markdown,
                content::Format::Html => wire::Format::Html,
                content::Format::ReStructuredText => wire::Format::ReStructuredText,
            },
            status: match page.status {
                content::Status::Draft => wire::Status::Draft,
                content::Status::Published => wire::Status::Published,
                content::Status::Archived => wire::Status::Archived,
            },
            author: author.to_string(),
            tags: tags.as_slice().iter().map(ToString::to_string).collect(),
            version: Some(stamp.version),
            created_at: stamp.created,
            updated_at: stamp.updated,
        })
    }
}

/// A content of the view.
fn listed(row: &Row) -> Result<wire::Content, Problem> {
    Ok(wire::Content {
        id: row.needed_text("id")?,
        title: row.needed_text("title")?,
        slug: row.some_text("slug"),
        description: row.some_text("description"),
        content: row.needed_text("content")?,
        format: row.word("format")?,
        status: row.word("status")?,
        author: row.needed_text("author")?,
        tags: row.texts("tags"),
        version: None,
        created_at: row.needed_time("created_at")?,
        updated_at: row.needed_time("updated_at")?,
    })
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let status = params.word_in_view::<wire::Status>("status");
    let (tag, author) = (params.parse::<Label>("tag"), params.parse::<Author>("author"));
    let (words, sort) = (params.text("q"), params.word::<wire::ContentSort>("sort").unwrap_or_default());
    let (at, after, limit) = (params.list_moment(), params.list_cursor(), params.limit());
    params.finish()?;
    let query = call.query_of(Content::CATEGORY, view::NAME, view::NUMBER, at.as_ref(), || {
        ("status", Value::from("Published"))
    });
    let mut query = query?
        .text(words.as_deref().unwrap_or_default())
        .sorted("updated_at", sort == wire::ContentSort::UpdatedLast);
    if let Some(status) = status {
        query = query.filter("status", Compare::Equal(status));
    }
    if let Some(tag) = tag {
        query = query.filter("tags", Compare::Has(tag.to_string()));
    }
    if let Some(author) = author {
        query = query.filter("author", Compare::Equal(author.as_str().into()));
    }
    let query = ViewQuery { after, limit, ..query };
    let Listed { rows, next } = page::list(&call, query, at.as_ref()).await?;
    // One after the other, so that no text is held twice for longer than it takes.
    let items = rows.into_iter().map(|row| listed(&row)).collect::<Result<_, _>>()?;
    let told = wire::Contents { items, next };
    Ok(page::linked(&call, told.next.as_deref(), &told))
}

async fn create(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let (id, stream) = thing::unnamed::<Content>(&call)?;
    let body = body.json(&call).await?;
    let caller = call.principal().actor.as_ref().and_then(|actor| Author::new(actor).ok());
    let command = Command::Create(Create::read(id, &body, caller)?);
    thing::create::<Content>(&call, &stream, command, &body).await
}

async fn change(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<Content>(&call, Action::Write)?;
    let patch = thing::patch(&call, body).await?;
    let command = Command::Change(Change::read(call.path("id")?, &patch)?);
    thing::change::<Content>(&call, &stream, command, patch.as_bytes()).await
}

/// The last event with a slug's mark says who has it: so this is never behind either.
async fn by_slug(call: Call) -> Answer {
    call.no_params()?;
    let slug: Slug = call.path("slug")?;
    call.wait_for_log().await?;
    let nobody = || Problem::new(Code::NotFound, "No content has that slug.");
    let mut query = LogQuery::default().matching(Filter::tagged(Tag::new(format!("slug:{slug}"))?));
    (query.direction, query.limit) = (Direction::Backward, Limit::new(1).unwrap_or_default());
    let stream = loop {
        let page = call.store.read_log(&query).await?;
        // An event elsewhere with such a tag is no content's.
        let of_content =
            page.events.iter().find(|event| ContentId::of(&event.stream, Content::CATEGORY).is_some());
        match (of_content, query.next(&page)) {
            (Some(event), _) => break event.stream.clone(),
            (None, Some(next)) => query = next,
            (None, None) => return Err(nobody()),
        }
    };
    let found = match call.may(Action::Read, Object::Stream(&stream)) {
        Ok(()) => thing::find::<Content>(&call, &stream, None).await?,
        Err(_) => thing::public::<Content>(&call, &stream).await.map_err(|problem| match problem.code() {
            Code::NotFound => nobody(),
            _ => problem,
        })?,
    };
    match &found.state {
        State::Live(page) if page.now.slug.as_ref() != Some(&slug) => Err(nobody()),
        State::Live(_) | State::Deleted | State::Absent => thing::answer::<Content>(&found).map(unkept),
    }
}
