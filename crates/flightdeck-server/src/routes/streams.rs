//! `/api/streams`: which streams there are, what is known of one, and its events.

use flightdeck_core::{Category, Cursor, Position, StreamId, Version};
use flightdeck_store::{Direction, Limit, StreamInfo, StreamPattern, StreamQuery, StreamsQuery};
use flightdeck_wire::event::Events;
use flightdeck_wire::stream::{Stream, Streams};

use crate::authorise::{Action, Object};
use crate::call::{Call, json, versioned};
use crate::caps::Cap;
use crate::next_link::linked;
use crate::operation::{Answer, Operation};
use crate::params::{LimitParam, Params, pattern_param};
use crate::problem::Problem;

use super::log::asked::shorten;
use super::log::page::{Ends, answered};

/// What stands between the two ends of a stretch in the `next` of a page.
const TO: char = '~';
/// How many pages of names are looked at for a page of those that may be seen.
const PAGES_MAX: usize = 20;

pub(super) fn operations() -> Vec<Operation> {
    let of_stream = |path, id| {
        Operation::get(path, id, "The events of a stream.")
            .path::<StreamId>("streamId", "Its name.")
            .query::<Position>("afterVersion", "Behind this version, itself excluded; 0 is before the first.")
            .query::<Version>("toVersion", "Up to this version, itself included.")
            .query::<bool>("backward", "Newest first.")
            .query::<LimitParam>("limit", "How many at most.")
            .query::<StretchParam>("after", "Behind where the page before ended: its `next`.")
            .answers::<Events>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[404])
            .to(events)
    };
    vec![
        Operation::get("/api/streams", "listStreams", "The streams, by name.")
            .query::<CategoryParam>("category", "Only streams of this category.")
            .query::<LimitParam>("limit", "How many at most.")
            .query::<StreamId>("after", "Behind where the page before ended: its `next`.")
            .answers::<Streams>(200, "A page of them.")
            .with(&["Link"])
            .to(list),
        Operation::get("/api/streams/{streamId}", "getStream", "What is known of a stream.")
            .path::<StreamId>("streamId", "Its name.")
            .answers::<Stream>(200, "It is there.")
            .with(&["ETag"])
            .refuses(&[404])
            .to(get),
        of_stream("/api/streams/{streamId}/events", "readStream"),
        of_stream("/api/events/{streamId}", "readEventsOf"),
    ]
}

pattern_param! {
    /// Describes a category: a stream name without the `-` that ends a category.
    CategoryParam, r"^(?!\.{1,2}$)(\$[!&'()+./0-9:;<=>@A-Z\[\]^_`a-z{|}~]{1,199}|[!&'()+./0-9:;<=>@A-Z\[\]^_`a-z{|}~]{1,200})$"
}
pattern_param! {
    /// Describes the `next` of a page of a stream.
    StretchParam, "^(0|[1-9][0-9]{0,14})~([1-9][0-9]{0,14})?$"
}

fn told(info: StreamInfo) -> Stream {
    let StreamInfo { stream, version, created, updated } = info;
    Stream { stream_id: stream, version, created_at: created, updated_at: updated }
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let query = StreamsQuery {
        category: params.read("category", |text| Category::new(text)),
        after: params.parse("after"),
        limit: params.limit(),
    };
    params.finish()?;
    match &query.category {
        Some(category) => call.may(Action::Read, Object::Category(category.as_str()))?,
        None => call.may(Action::Read, Object::Log)?,
    }
    let (items, next) = visible(&call, query).await?;
    let next = next.map(|stream| stream.to_string());
    let page = Streams { items: items.into_iter().map(told).collect(), next };
    Ok(linked(json(200, &page), call.request(), page.next.as_deref()))
}

/// A page of the streams that the caller may see, and behind which it goes on. The system's own are for those who name them.
async fn visible(call: &Call, query: StreamsQuery) -> Result<(Vec<StreamInfo>, Option<StreamId>), Problem> {
    let StreamsQuery { category, after, limit } = query;
    let asked = match category {
        Some(category) => vec![StreamPattern::Category(category)],
        None => vec![StreamPattern::Prefix("".into())],
    };
    let asked = match call.readable() {
        Some(readable) => StreamPattern::among(&asked, &readable),
        None => asked,
    };
    let (wanted, mut found) = (limit.get(), Vec::new());
    for pattern in &asked {
        found.append(&mut some_of(call, pattern, after.clone(), wanted + 1).await?);
    }
    found.sort_by(|one, other| one.stream.cmp(&other.stream));
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|info: &StreamInfo| info.stream.clone());
    Ok((found, next))
}

/// The first so many streams that a pattern means, behind that name.
async fn some_of(
    call: &Call,
    pattern: &StreamPattern,
    mut after: Option<StreamId>,
    wanted: usize,
) -> Result<Vec<StreamInfo>, Problem> {
    let (mut found, mut category) = (Vec::new(), None);
    match pattern {
        StreamPattern::Exact(stream) => {
            let is_behind = after.as_ref().is_none_or(|after| stream > after);
            return Ok(if is_behind {
                call.store.stream(stream).await?.into_iter().collect()
            } else {
                found
            });
        }
        StreamPattern::Category(own) => category = Some(own.clone()),
        StreamPattern::Prefix(prefix) => after = after.max(before(prefix)),
    }
    for _ in 0..PAGES_MAX {
        // One more than is wanted: whether there is a next page is whether there is another stream to be seen.
        let limit = Limit::new(wanted - found.len()).map_err(flightdeck_store::StoreError::from)?;
        let asked = StreamsQuery { category: category.clone(), after: after.clone(), limit };
        let page = call.store.streams(&asked).await?;
        let last = page.streams.last().map(|info| info.stream.clone());
        let is_past = last.as_ref().is_some_and(|last| is_past(last, pattern));
        found.extend(page.streams.into_iter().filter(|info| pattern.matches(&info.stream)));
        if page.end || is_past || found.len() >= wanted {
            break;
        }
        // The system's own stand beside each other: behind one of them that is not meant comes what is none of them.
        after = last.map(|last| match last.is_system() && !pattern.matches(&last) {
            true => behind_the_systems(&last),
            false => last,
        });
    }
    Ok(found)
}

/// Whether no stream behind that one can be meant any more.
fn is_past(stream: &StreamId, pattern: &StreamPattern) -> bool {
    match pattern {
        StreamPattern::Prefix(prefix) => {
            !prefix.is_empty() && stream.as_str() > &**prefix && !stream.as_str().starts_with(&**prefix)
        }
        StreamPattern::Exact(_) | StreamPattern::Category(_) => false,
    }
}

/// A name before all that begin so, with few between it and them; `None` when they are the first there can be.
fn before(prefix: &str) -> Option<StreamId> {
    let (rest, last) = prefix.split_at_checked(prefix.len().checked_sub(1)?)?;
    let last = last.bytes().next()?;
    let lower = (b'!'..last).rev();
    let fill = "~".repeat(flightdeck_core::limits::STREAM_NAME_BYTES_MAX - prefix.len());
    let mut names = lower.filter_map(|byte| StreamId::new(format!("{rest}{}{fill}", char::from(byte))).ok());
    names.next().or_else(|| StreamId::new(rest).ok())
}

/// The last name that a stream of the system's own can have.
fn behind_the_systems(stream: &StreamId) -> StreamId {
    let last = format!("${}", "~".repeat(flightdeck_core::limits::STREAM_NAME_BYTES_MAX - 1));
    StreamId::new(last).unwrap_or_else(|_| stream.clone())
}

async fn get(call: Call) -> Answer {
    call.no_params()?;
    let stream: StreamId = call.path("streamId")?;
    call.may(Action::Read, Object::Stream(&stream))?;
    let info = call.store.stream(&stream).await?.ok_or_else(|| Problem::not_found("stream"))?;
    Ok(versioned(200, Some(info.version), &told(info)))
}

/// A version, where 0 is before the first.
fn version(text: &str) -> Result<Option<Version>, &'static str> {
    let wrong = "is not a version";
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong);
    }
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(number) => Version::new(number).map(Some).map_err(|_| wrong),
        Err(_) => Err(wrong),
    }
}

/// A stretch of versions, as the `next` of a page says it: `3~` behind 3, `0~7` up to 7.
fn stretch(text: &str) -> Result<(Option<Version>, Option<Version>), &'static str> {
    let (after, to) = text.split_once(TO).ok_or("is not what a page gave as its next")?;
    let to = if to.is_empty() { None } else { version(to)? };
    Ok((version(after)?, to))
}

fn asked(params: &mut Params, stream: StreamId) -> StreamQuery {
    let after = params.read("afterVersion", version).flatten();
    let to =
        params.read("toVersion", |text| version(text)?.ok_or("is not a version, of which 1 is the first"));
    let (from, upto) = params.read("after", stretch).unwrap_or_default();
    let direction = if params.flag("backward") { Direction::Backward } else { Direction::Forward };
    let least = |one: Option<Version>, other: Option<Version>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    StreamQuery { stream, after: after.max(from), to: least(to, upto), direction, limit: params.limit() }
}

async fn events(call: Call) -> Answer {
    let stream: StreamId = call.path("streamId")?;
    let mut params = call.params();
    let query = asked(&mut params, stream);
    params.finish()?;
    call.may(Action::Read, Object::Stream(&query.stream))?;
    // Before the page: what it does not have was not there yet then.
    let head = call.store.head().await?.cursor;
    let mut page = call.store.read_stream(&query).await?;
    if shorten(&mut page.events, call.caps().get(Cap::PageBytes)).is_some() {
        call.met.note(Cap::PageBytes);
        page.end = false;
    }
    if page.version.is_none() {
        return Err(Problem::not_found("stream"));
    }
    let last = page.events.last().map_or(Position::START, |event| event.position);
    let newest = page.events.iter().map(|event| event.position).max().unwrap_or_default();
    let head = if newest > head.position() { Cursor::new(head.epoch().clone(), newest) } else { head };
    // How far the log was looked through for events of this stream.
    let scanned_to = match query.direction {
        Direction::Forward if page.end && query.to.is_none() => head.position(),
        Direction::Forward => last,
        Direction::Backward => last.previous(),
    };
    let next = query.next(&page).map(|next| match next.to {
        Some(to) => format!("{}{TO}{to}", Version::count(next.after)),
        None => format!("{}{TO}", Version::count(next.after)),
    });
    let scanned_to = Cursor::new(head.epoch().clone(), scanned_to).to_string();
    let ends =
        Ends { scanned_to: &scanned_to, head: &head.to_string(), caught_up: page.end, next: next.as_deref() };
    Ok(answered(&call, &page.events, head.epoch(), &ends))
}

#[cfg(test)]
mod tests {
    use flightdeck_core::StreamId;
    use flightdeck_store::Direction;

    use super::{Params, asked, before, behind_the_systems};

    #[test]
    fn where_a_page_ended_the_next_begins() {
        let stream = || StreamId::new("a-1").unwrap();
        let mut params = Params::of("afterVersion=2&toVersion=9&after=0~5&backward=true&limit=3");
        let query = asked(&mut params, stream());
        params.finish().unwrap();
        assert_eq!((query.after.unwrap().get(), query.to.unwrap().get()), (2, 5));
        assert_eq!((query.direction, query.limit.get()), (Direction::Backward, 3));
        let mut params = Params::of("after=7~&afterVersion=0");
        let query = asked(&mut params, stream());
        params.finish().unwrap();
        assert_eq!((query.after.unwrap().get(), query.to), (7, None));
        for bad in [
            "afterVersion=-1",
            "toVersion=0",
            "after=5",
            "after=~",
            "after=1~2~3",
            "afterVersion=9007199254740992",
        ] {
            let mut params = Params::of(bad);
            asked(&mut params, stream());
            assert!(params.finish().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_stands_before_all_that_begin_so() {
        for (prefix, first, foreign) in
            [("order-1", "order-1", "order-0"), ("b", "b", "a~"), ("a!", "a!", "a")]
        {
            let before = before(prefix).unwrap();
            assert!(before < StreamId::new(first).unwrap(), "{prefix}");
            assert!(before >= StreamId::new(foreign).unwrap(), "{prefix}");
        }
        assert_eq!(before(""), None);
        assert_eq!(before("!"), None);
    }

    #[test]
    fn behind_the_systems_streams_stands_none_of_them() {
        let last = behind_the_systems(&StreamId::new("$a").unwrap());
        assert!(last.is_system() && last.as_str().len() == 200);
        assert!(last < StreamId::new("&").unwrap() && last > StreamId::new("$token-~").unwrap());
    }
}
