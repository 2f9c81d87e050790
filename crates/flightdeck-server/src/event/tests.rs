//! An event in JSON says what is stored, is what the API's types say, and comes back as what it was.

use bytes::Bytes;
use flightdeck_core::{
    Cursor, Epoch, EventType, Further, Json, Metadata, Reference, StreamId, Tag, Tags, Timestamp,
};
use flightdeck_store::{Append, EventStore as _, LogQuery, MemoryStore, NewEvent, Recorded};
use flightdeck_wire::event as wire;

use super::{Breaks, Caps, Source, Wrong, write};

fn metadata(json: &str, source: Source<'_>) -> Result<Metadata, Wrong> {
    super::metadata(json, source, Caps::built_in())
}

fn read(json: &str, source: Source<'_>) -> Result<NewEvent, Wrong> {
    super::read(json, source, Caps::built_in())
}

/// An event with something odd in every part of it.
pub(crate) async fn odd() -> (Recorded, Epoch) {
    let data =
        Json::new("{\"b\":1,\r\n \"a\" : 12345678901234567890.10,\"a\":\"\\u00e9\\n\"}", 1024).unwrap();
    let mut event =
        NewEvent::new(StreamId::new("order-7/{a}").unwrap(), EventType::new("A.b:c").unwrap(), data);
    event.tags = Tags::new([Tag::new("k:\"q\\").unwrap(), Tag::new("k:Zoë ✓").unwrap()]).unwrap();
    event.metadata = Metadata {
        actor: Some(Reference::new("a\"b").unwrap()),
        correlation: Some(Reference::new("c\\d").unwrap()),
        causation: None,
        occurred: Some("2026-01-02T03:04:05.000006Z".parse::<Timestamp>().unwrap()),
        further: Some(Further::new(Bytes::from_static(b" { \"z\":1,\n\"z\":2.50 } ")).unwrap()),
    };
    let store = MemoryStore::new();
    store.append(Append::of([event])).await.unwrap();
    let page = store.read_log(&LogQuery::default()).await.unwrap();
    (page.events.into_iter().next().unwrap(), page.head.epoch().clone())
}

fn text(event: &Recorded, epoch: &Epoch, breaks: Breaks) -> String {
    let mut out = Vec::new();
    write(&mut out, event, epoch, breaks);
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn what_is_written_is_what_the_type_of_the_api_says() {
    let (event, epoch) = odd().await;
    let text = text(&event, &epoch, Breaks::Kept);
    let told: wire::Event = serde_json::from_str(&text).unwrap();
    assert_eq!(told.cursor, Cursor::new(epoch, event.position));
    assert_eq!((told.position, told.version), (event.position, event.version));
    assert_eq!((&told.stream_id, &told.event_type), (&event.stream, &event.event_type));
    assert_eq!((told.id, told.schema), (event.id, event.schema));
    assert_eq!(told.data.get().as_bytes(), event.data_bytes());
    assert_eq!(told.tags, event.tags.as_slice());
    assert_eq!(told.recorded_at, event.recorded_at);
    assert_eq!(told.hash, event.hash.to_string());
    let metadata = &told.metadata;
    assert_eq!((&metadata.user_id, &metadata.causation_id), (&event.metadata.actor, &None));
    assert_eq!(metadata.correlation_id, event.metadata.correlation);
    assert_eq!(metadata.occurred_at, event.metadata.occurred);
    assert_eq!(metadata.further["z"], 2.5);
    // And back, with nothing lost that a value of JSON can say.
    let again = serde_json::to_string(&told).unwrap();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&again), value(&text));
    assert!(again.contains("12345678901234567890.10"), "{again}");
}

#[tokio::test]
async fn an_event_is_one_line_where_that_is_asked_for_and_as_it_was_sent_where_not() {
    let (event, epoch) = odd().await;
    let kept = text(&event, &epoch, Breaks::Kept);
    assert!(kept.contains("{\"b\":1,\r\n \"a\" : 12345678901234567890.10"), "{kept}");
    assert!(kept.contains("\"z\":1,\n\"z\":2.50}"), "{kept}");
    let line = text(&event, &epoch, Breaks::Spaces);
    assert!(!line.contains(['\n', '\r']), "{line}");
    assert_eq!(line.len(), kept.len());
}

#[tokio::test]
async fn what_is_written_is_read_as_the_same_event() {
    let (event, epoch) = odd().await;
    let text = text(&event, &epoch, Breaks::Kept);
    let again = read(&text, Source::File).unwrap();
    assert_eq!(
        (&again.stream, &again.event_type, again.id),
        (&event.stream, &event.event_type, Some(event.id))
    );
    assert_eq!((again.data.as_bytes(), &again.tags), (event.data_bytes(), &event.tags));
    assert_eq!(again.metadata.actor, event.metadata.actor);
    assert_eq!(again.metadata.further.unwrap().as_json().as_bytes(), b"{\"z\":1,\"z\":2.50}");
    // A request does not say what is the store's to know.
    let wrong = read(&text, Source::Request).unwrap_err();
    let told: Vec<&str> = wrong.invalid().invalid.keys().map(String::as_str).collect();
    assert_eq!(told, ["cursor", "hash", "position", "recordedAt", "version"]);
}

#[test]
fn numbers_and_moments_are_written_as_they_say_themselves() {
    for number in [0, 7, -1, 10, 9_007_199_254_740_991, i64::MIN] {
        let mut out = Vec::new();
        super::put_number(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
    for text in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.000001Z"] {
        let moment: Timestamp = text.parse().unwrap();
        let mut out = Vec::new();
        super::put_time(&mut out, moment);
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"{moment}\""));
    }
}

#[test]
fn everything_that_is_wrong_with_an_event_is_told_by_its_place() {
    let json = "{\"streamId\":\"a b\",\"eventType\":7,\"schema\":0,\"id\":\"X\",\"tags\":[\"k:v\",\"no tag\"],\
                \"metadata\":{\"correlationId\":\"a b\",\"occurredAt\":\"now\"},\"expected\":1}";
    let wrong = read(json, Source::Request).unwrap_err();
    assert_eq!(wrong.invalid().missing, ["data"]);
    let told: Vec<&str> = wrong.invalid().invalid.keys().map(String::as_str).collect();
    let fields = [
        "eventType",
        "expected",
        "id",
        "metadata.correlationId",
        "metadata.occurredAt",
        "schema",
        "streamId",
        "tags[1]",
    ];
    assert_eq!(told, fields);
    let stream = StreamId::new("a-1").unwrap();
    let json = "{\"streamId\":\"b-1\",\"eventType\":\"A\",\"data\":null}";
    let wrong = read(json, Source::Stream(&stream)).unwrap_err();
    assert_eq!(wrong.invalid().invalid["streamId"], "is not a field here");
    assert_eq!(
        read(&json.replace("\"streamId\":\"b-1\",", ""), Source::Stream(&stream)).unwrap().stream,
        stream
    );
}

#[test]
fn metadata_is_told_apart_and_what_is_the_clients_stays_as_it_came() {
    let json = "{\"z\":12345678901234567890123,\"userId\":\"me\",\"a\":2.50}";
    let read = metadata(json, Source::File).unwrap();
    assert_eq!(read.actor.unwrap().as_str(), "me");
    let further = "{\"z\":12345678901234567890123,\"a\":2.50}";
    assert_eq!(read.further.unwrap().as_json().as_bytes(), further.as_bytes());
    let read = metadata("{ \"z\": 1 }", Source::File).unwrap();
    assert_eq!(read.further.unwrap().as_json().as_bytes(), b"{ \"z\": 1 }");
    assert_eq!(metadata("{}", Source::File).unwrap(), Metadata::default());
    // Who did it is nothing that a request may say, whatever it says.
    assert_eq!(metadata("{\"userId\":[1]}", Source::Request).unwrap(), Metadata::default());
}

#[test]
fn data_is_kept_as_it_was_sent_and_may_be_any_json() {
    for data in ["null", "[ 1,\n2 ]", "{\"a\":1,\"a\":2}", "\"\\u00e9\"", "1.50", "false"] {
        let json = format!("{{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\": {data} }}");
        assert_eq!(read(&json, Source::Request).unwrap().data.as_bytes(), data.as_bytes());
    }
    for data in ["\"\\u0000\"", "1e400", "\"\\ud800\"", &format!("{}{}", "[".repeat(65), "]".repeat(65))] {
        let json = format!("{{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":{data}}}");
        let wrong = read(&json, Source::Request).unwrap_err();
        assert!(wrong.invalid().invalid.contains_key("data"), "{data}: {wrong}");
    }
}
