//! The view `log_streams`.

use flightdeck_core::{Category, SchemaNumber};
use flightdeck_store::Limit;

use super::{LogStreamsView, NAME, Streams, streams};
use crate::Asked;
use crate::ground::{Ground, at, everything, micros, only};

fn ground() -> Ground {
    let mut ground = Ground::of(LogStreamsView);
    for (second, stream) in ["a-1", "b-1", "a-2", "$token-1", "a-1", "c"].into_iter().enumerate() {
        let event_type = format!("Type{second}");
        ground.happens(stream, &event_type, "7", micros(1_000_000 * i64::try_from(second).unwrap()));
    }
    ground
}

#[test]
fn a_stream_has_its_category_its_events_and_its_times() {
    let ground = ground();
    let row = ground.row(NAME, &["a-1".into()]);
    assert_eq!((row.text("category"), row.integer("events")), (Some("a"), Some(2)));
    assert_eq!((row.time("first_at"), row.time("last_at")), (Some(micros(0)), Some(micros(4_000_000))));
    assert_eq!(row.text("last_type"), Some("Type4"));
    assert_eq!(ground.row(NAME, &["c".into()]).text("category"), Some("c"));
}

#[test]
fn events_of_any_shape_are_counted_and_the_systems_own_streams_are_not() {
    let mut ground = ground();
    let newer = ground.recorded("c", "ContentCreated", "[]", at("2026-11-21T08:00:00Z"));
    let newer = flightdeck_store::Recorded { schema: SchemaNumber::new(99).unwrap(), ..newer };
    ground.fold(&newer).unwrap();
    assert_eq!(ground.row(NAME, &["c".into()]).integer("events"), Some(2));
    assert_eq!(ground.rows(NAME).len(), 4);
}

#[tokio::test]
async fn streams_are_found_by_when_something_last_happened_in_them() {
    let views = ground().views().await;
    let ask = async |which: Streams, category: Option<&str>, asked: Asked| {
        let category = category.map(|category| Category::new(category).unwrap());
        let page = streams(&views, which, category.as_ref(), asked).await.unwrap();
        page.rows.iter().map(|row| row.text("stream").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = Asked::default;
    assert_eq!(ask(Streams::Active, None, all()).await, ["c", "a-1", "a-2", "b-1"]);
    assert_eq!(ask(Streams::Active, Some("a"), all()).await, ["a-1", "a-2"]);
    let since = Streams::InactiveSince(micros(4_000_000));
    assert_eq!(ask(since.clone(), None, all()).await, ["b-1", "a-2"]);
    assert_eq!(ask(since.clone(), Some("a"), all()).await, ["a-2"]);
    let two = Asked { limit: Limit::new(1).unwrap(), ..all() };
    assert_eq!(ask(since, None, two).await, ["b-1"]);
    let of = |streams| Asked { streams, ..all() };
    assert!(ask(Streams::Active, None, of(only("a"))).await.is_empty());
    assert_eq!(ask(Streams::Active, None, of(everything())).await.len(), 4);
}
