//! The view `log_days`, beside a naive count.

use std::collections::BTreeMap;

use flightdeck_core::{EventType, Timestamp};

use super::{DAYS_MAX, Days, DaysError, LogDaysView, NAME, days};
use crate::ground::{Chance, Ground, at, everything, micros, only};

fn asked(from: &str, to: &str, event_type: Option<&str>, average_over: usize) -> Days {
    let event_type = event_type.map(|name| EventType::new(name).unwrap());
    Days { from: at(from), to: at(to), event_type, average_over, streams: None }
}

#[tokio::test]
async fn every_day_and_average_is_what_a_count_of_the_raw_events_says() {
    let (mut ground, mut chance) = (Ground::of(LogDaysView), Chance(13));
    let mut raw: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut now = at("2028-02-20T00:00:00Z").micros();
    for _ in 0..800 {
        now += i64::try_from(chance.below(3_600_000_000)).unwrap();
        now += if chance.below(40) == 0 { 3 * 86_400_000_000 } else { 0 };
        let stream = chance.one_of(&["content-1", "visitor-2", "a", "$token-1"]);
        let event_type = chance.one_of(&["Opened", "Closed", "Opened"]);
        // Whatever it says itself, and of whatever shape.
        ground.happens(stream, event_type, r#"{"timestamp":"1999-01-01T00:00:00Z"}"#, micros(now));
        if !stream.starts_with('$') {
            let day = micros(now).to_string()[..10].to_owned();
            *raw.entry((day.clone(), event_type.to_owned())).or_default() += 1;
            *raw.entry((day, String::new())).or_default() += 1;
        }
    }
    let views = ground.views().await;
    for event_type in [None, Some("Opened"), Some("Closed"), Some("Unheard")] {
        for over in [1, 7, 400] {
            let asked = asked("2028-02-24T12:00:00Z", "2028-04-20T00:00:00.000001Z", event_type, over);
            let found = days(&views, asked).await.unwrap();
            assert_eq!(found.len(), 57);
            for day in found {
                let count = |back: usize| {
                    let start = day.start.micros() - 86_400_000_000 * i64::try_from(back).unwrap();
                    let day = micros(start).to_string()[..10].to_owned();
                    raw.get(&(day, event_type.unwrap_or_default().to_owned())).copied().unwrap_or(0)
                };
                let average = (0..over).map(count).sum::<i64>() as f64 / over as f64;
                assert_eq!((day.events, day.average), (count(0), average), "{event_type:?} {}", day.start);
            }
        }
    }
}

#[test]
fn the_systems_own_streams_are_not_in_it() {
    let mut ground = Ground::of(LogDaysView);
    ground.happens("$token-1", "TokenMade", "{}", micros(0));
    assert!(ground.rows(NAME).is_empty());
}

#[tokio::test]
async fn who_may_not_read_all_gets_days_without_events() {
    let mut ground = Ground::of(LogDaysView);
    ground.happens("visitor-ada", "Opened", "{}", micros(0));
    let views = ground.views().await;
    let day = || asked("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z", None, 1);
    let count = async |streams| days(&views, Days { streams, ..day() }).await.unwrap()[0].events;
    assert_eq!((count(only("ada")).await, count(everything()).await), (0, 1));
}

#[tokio::test]
async fn what_is_too_much_or_ends_before_it_begins_is_refused() {
    let views = Ground::of(LogDaysView).views().await;
    let (early, late) = ("2000-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
    assert!(matches!(days(&views, asked(late, early, None, 1)).await, Err(DaysError::Backwards)));
    for (to, over) in [(late, 1), (early, 0), (early, DAYS_MAX + 1)] {
        assert!(matches!(days(&views, asked(early, to, None, over)).await, Err(DaysError::HowMany)));
    }
    let first: Timestamp = at("0001-01-01T00:00:00Z");
    let beginning =
        Days { from: first, to: micros(first.micros() + 1), ..asked(early, late, None, DAYS_MAX) };
    assert_eq!(days(&views, beginning).await.unwrap().len(), 1);
}
