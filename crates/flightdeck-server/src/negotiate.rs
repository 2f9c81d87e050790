//! Which representation of the log is given: the one place where that is decided, for all that there are.

use actix_web::http::header::{self, HeaderMap};

use crate::cloud_event;
use crate::operation::{JSON, NDJSON};
use crate::problem::{Code, Problem};
use crate::push::sse;

/// A representation of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// A page, as JSON.
    Page,
    /// Every event a line, as they come.
    Lines,
    /// A page, as CloudEvents.
    CloudEvents,
    /// Server-Sent Events.
    Events,
    /// A WebSocket.
    Messages,
}

impl Representation {
    /// Whether it is followed from a page that can show no credential in a header.
    pub(crate) const fn is_of_a_page(self) -> bool {
        matches!(self, Self::Events | Self::Messages)
    }
}

/// How a representation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// As a media type, in `Accept`.
    Media(&'static str),
    /// As a protocol, in `Upgrade`.
    Protocol(&'static str),
}

/// All representations, the one first that is given to whoever takes any.
const TABLE: [(Asked, Representation); 5] = [
    (Asked::Media(JSON), Representation::Page),
    (Asked::Media(NDJSON), Representation::Lines),
    (Asked::Media(cloud_event::BATCH), Representation::CloudEvents),
    (Asked::Media(sse::MEDIA), Representation::Events),
    (Asked::Protocol("websocket"), Representation::Messages),
];

/// How exactly a media type is named that is named itself.
const NAMED: u8 = 3;

/// The representation that is asked for. A protocol comes before a media type.
///
/// # Errors
/// When there is none that would be taken.
pub(crate) fn representation(headers: &HeaderMap) -> Result<Representation, Problem> {
    if let Some(representation) = upgraded(headers) {
        return Ok(representation);
    }
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let text = value.to_str().map_err(|_| Problem::field("Accept", "is not visible ASCII"))?;
        ranges.extend(text.split(',').filter_map(Range::read));
    }
    let said = headers.get_all(header::ACCEPT).any(|value| !value.as_bytes().trim_ascii().is_empty());
    let mut best: Option<((u16, u8), Representation)> = None;
    for (asked, representation) in TABLE {
        let Asked::Media(media) = asked else { continue };
        let wanted = if said { wanted(&ranges, media) } else { Some((1000, 0)) };
        // What never ends is for whoever names it.
        let wanted =
            wanted.filter(|(_, exactness)| representation != Representation::Events || *exactness == NAMED);
        // Of what is wanted equally, what was named more exactly, and then what stands first.
        if let Some(wanted) = wanted.filter(|(quality, _)| *quality > 0)
            && best.is_none_or(|(before, _)| wanted > before)
        {
            best = Some((wanted, representation));
        }
    }
    best.map(|(_, representation)| representation).ok_or_else(|| {
        let there = TABLE.iter().filter_map(|(asked, _)| match asked {
            Asked::Media(media) => Some(*media),
            Asked::Protocol(_) => None,
        });
        let there: Vec<&str> = there.collect();
        Problem::new(Code::NotAcceptable, format!("The log is given as {}.", there.join(", ")))
    })
}

/// What the connection is to be changed to, if that is there.
pub(crate) fn upgraded(headers: &HeaderMap) -> Option<Representation> {
    let named = |name: &str| {
        let values = headers.get_all(header::UPGRADE).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case(name))
    };
    TABLE.iter().find_map(|(asked, given)| match asked {
        Asked::Protocol(name) if named(name) => Some(*given),
        Asked::Protocol(_) | Asked::Media(_) => None,
    })
}

/// The protocols that are offered for what the connection is to be changed to.
pub(crate) fn offered(headers: &HeaderMap) -> Result<Vec<&str>, Problem> {
    let mut all = Vec::new();
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let wrong = |_| Problem::field("Sec-WebSocket-Protocol", "is not visible ASCII");
        all.extend(value.to_str().map_err(wrong)?.split(',').map(str::trim));
    }
    Ok(all)
}

/// How much a media type is wanted, in thousandths, and how exactly it was named; `None` when not at all.
fn wanted(ranges: &[Range<'_>], media: &str) -> Option<(u16, u8)> {
    let (kind, subkind) = media.split_once('/')?;
    let exactness = |range: &Range<'_>| match (range.kind, range.subkind) {
        ("*", "*") => Some(1),
        (own, "*") if own.eq_ignore_ascii_case(kind) => Some(2),
        (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subkind) => Some(NAMED),
        _ => None,
    };
    let named = ranges.iter().filter_map(|range| Some((exactness(range)?, range.quality)));
    // What is named most exactly says how much it is wanted.
    named.max().map(|(exactness, quality)| (quality, exactness))
}

/// A part of `Accept`: media types, and how much they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range<'h> {
    kind: &'h str,
    subkind: &'h str,
    quality: u16,
}

impl<'h> Range<'h> {
    /// Reads one; what is none is left out.
    fn read(text: &'h str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let mut quality = 1000;
        for part in parts {
            if let Some((name, value)) = part.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                quality = thousandths(value.trim())?;
            }
        }
        Some(Self { kind, subkind, quality })
    }
}

/// Reads `1`, `0.5`, `0.125`.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u16 = format!("{whole}{part:0<3}").parse().ok()?;
    (number <= 1000).then_some(number)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{ACCEPT, HeaderMap, HeaderValue, UPGRADE};

    use super::{Representation, representation};

    #[track_caller]
    fn check(accept: &[&'static str], given: Option<Representation>) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(representation(&headers).ok(), given, "{accept:?}");
    }

    #[test]
    fn what_is_wanted_most_is_given() {
        use Representation::{CloudEvents, Lines, Page};
        for anything in [
            "*/*",
            "application/*",
            "application/json",
            "text/html, */*;q=0.1",
            "",
            "Application/JSON; charset=utf-8",
        ] {
            check(&[anything], Some(Page));
        }
        check(&[], Some(Page));
        check(&["application/x-ndjson"], Some(Lines));
        check(&["application/json;q=0.5, application/x-ndjson;q=0.8"], Some(Lines));
        check(&["application/json;q=0.5", "application/x-ndjson;q=0.49"], Some(Page));
        // Named more exactly, and so meant.
        check(&["*/*, application/x-ndjson"], Some(Lines));
        check(&["application/*;q=0.9, application/json;q=0.1"], Some(Lines));
        check(&["*/*;q=1, application/json;q=0, application/x-ndjson;q=0"], Some(CloudEvents));
        check(&["application/cloudevents-batch+json"], Some(CloudEvents));
    }

    #[test]
    fn what_is_not_there_is_not_given_as_something_else() {
        for nothing in [
            "text/html",
            "text/*",
            "application/json;q=0",
            "*/*;q=0",
            "application/cloudevents+json",
            "nonsense",
            "application/json;q=2",
            "application/json;q=0.1234",
        ] {
            check(&[nothing], None);
        }
    }

    #[test]
    fn what_never_ends_is_for_whoever_names_it() {
        check(&["text/event-stream"], Some(Representation::Events));
        check(&["text/event-stream, */*;q=0.1"], Some(Representation::Events));
        check(&["text/*, application/json;q=0.1"], Some(Representation::Page));
        check(&["*/*"], Some(Representation::Page));
    }

    #[test]
    fn a_protocol_comes_before_a_media_type() {
        for (upgrade, given) in [
            ("websocket", Representation::Messages),
            ("h2c, WebSocket", Representation::Messages),
            ("h2c", Representation::Page),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            assert_eq!(representation(&headers).ok(), Some(given), "{upgrade}");
        }
    }
}
