//! Borders of buckets, at the clocks that are hard.

use flightdeck_core::Timestamp;

use super::{BUCKETS_MAX, InvalidSpan, Step, Zone, borders, utc_month};
use crate::ground::{at, micros};

#[track_caller]
fn cut(zone: &str, step: Step, from: &str, to: &str) -> Vec<String> {
    let borders = borders(at(from), at(to), step, &Zone::named(zone).unwrap()).unwrap();
    let short = |second: &i64| micros(second * 1_000_000).to_string()[..16].to_owned();
    borders.iter().map(short).collect()
}

#[track_caller]
fn lengths(zone: &str, step: Step, from: &str, to: &str) -> Vec<i64> {
    let borders = borders(at(from), at(to), step, &Zone::named(zone).unwrap()).unwrap();
    borders.windows(2).map(|two| (two[1] - two[0]) / 60).collect()
}

#[test]
fn a_bucket_that_is_touched_is_whole() {
    let found = cut("UTC", Step::Day, "2026-11-21T09:30:00Z", "2026-11-22T00:00:01Z");
    assert_eq!(found, ["2026-11-21T00:00", "2026-11-22T00:00", "2026-11-23T00:00"]);
    let found = cut("UTC", Step::Day, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
    assert_eq!(found, ["2026-11-21T00:00", "2026-11-22T00:00"]);
    let found = cut("UTC", Step::Day, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00.000001Z");
    assert_eq!(found.len(), 3);
    assert!(cut("UTC", Step::Hour, "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z").is_empty());
}

#[test]
fn days_are_as_long_as_the_clock_makes_them() {
    let berlin =
        |from: &str, to: &str| lengths("Europe/Berlin", Step::Day, &format!("{from}Z"), &format!("{to}Z"));
    assert_eq!(berlin("2026-03-28T12:00:00", "2026-03-30T12:00:00"), [1440, 1380, 1440]);
    assert_eq!(berlin("2026-10-24T12:00:00", "2026-10-26T12:00:00"), [1440, 1500, 1440]);
    let lord_howe = lengths("Australia/Lord_Howe", Step::Day, "2026-04-04T00:00:00Z", "2026-04-06T00:00:00Z");
    assert_eq!(lord_howe, [1440, 1470, 1440]);
}

#[test]
fn a_day_begins_where_its_date_is_first_seen() {
    // In Havana the clock goes from 24:00 to 01:00: midnight of the 10th is not there.
    let found = cut("America/Havana", Step::Day, "2024-03-09T12:00:00Z", "2024-03-11T12:00:00Z");
    let expected = ["2024-03-09T05:00", "2024-03-10T05:00", "2024-03-11T04:00", "2024-03-12T04:00"];
    assert_eq!(found, expected);
    // And on 3 November from 01:00 to 00:00: midnight is there twice.
    let found = lengths("America/Havana", Step::Day, "2024-11-02T12:00:00Z", "2024-11-04T12:00:00Z");
    assert_eq!(found, [1440, 1500, 1440]);
    // In Toronto it once went from 23:30 to 00:30.
    let found = cut("America/Toronto", Step::Day, "1919-03-30T12:00:00Z", "1919-03-31T12:00:00Z");
    assert_eq!(found, ["1919-03-30T05:00", "1919-03-31T04:30", "1919-04-01T04:00"]);
}

#[test]
fn a_day_that_is_skipped_is_not_there() {
    let found = cut("Pacific/Apia", Step::Day, "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z");
    let expected = ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00", "2012-01-01T10:00"];
    assert_eq!(found, expected);
    // That is the 29th, the 31st and the 1st.
    assert_eq!(lengths("Pacific/Apia", Step::Week, "2011-12-29T12:00:00Z", "2011-12-30T00:00:00Z"), [8_640]);
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first_of_the_zone() {
    let found = cut("UTC", Step::Week, "2026-12-31T12:00:00Z", "2027-01-04T00:00:01Z");
    assert_eq!(found, ["2026-12-28T00:00", "2027-01-04T00:00", "2027-01-11T00:00"]);
    let found = cut("Asia/Kathmandu", Step::Month, "2028-02-15T00:00:00Z", "2028-03-15T00:00:00Z");
    assert_eq!(found, ["2028-01-31T18:15", "2028-02-29T18:15", "2028-03-31T18:15"]);
    // The first moment of a month of the zone is the last day of another in UTC.
    let found = cut("Europe/Berlin", Step::Month, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    assert_eq!(found, ["2026-10-31T23:00", "2026-11-30T23:00"]);
}

#[test]
fn hours_are_those_of_the_clock() {
    let found = cut("Asia/Kathmandu", Step::Hour, "2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z");
    assert_eq!(found, ["2026-11-20T23:15", "2026-11-21T00:15", "2026-11-21T01:15"]);
    // An hour that comes twice is two hours.
    let found = cut("Europe/Berlin", Step::Hour, "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
    assert_eq!(found, ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]);
    // At Lord Howe half an hour comes twice, and half an hour is left out.
    let found = lengths("Australia/Lord_Howe", Step::Hour, "2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z");
    assert_eq!(found, [60, 30, 60]);
    let from_within = cut("Australia/Lord_Howe", Step::Hour, "2026-04-04T15:10:00Z", "2026-04-04T15:20:00Z");
    assert_eq!(from_within, ["2026-04-04T15:00", "2026-04-04T15:30"]);
    let found = lengths("Australia/Lord_Howe", Step::Hour, "2026-10-03T14:30:00Z", "2026-10-03T16:30:00Z");
    assert_eq!(found, [60, 30, 60]);
}

#[test]
fn borders_lie_on_quarters_and_grow_wherever_and_whenever() {
    let zones =
        ["Africa/Monrovia", "America/St_Johns", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Gaza"];
    for zone in zones {
        for (from, to) in [
            ("1850-01-01T00:00:00Z", "1850-03-01T00:00:00Z"),
            ("1971-12-20T00:00:00Z", "1972-02-01T00:00:00Z"),
            ("2010-10-01T00:00:00Z", "2010-12-01T00:00:00Z"),
            ("2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("9999-12-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ] {
            for step in [Step::Hour, Step::Day, Step::Week, Step::Month] {
                let found = borders(at(from), at(to), step, &Zone::named(zone).unwrap()).unwrap();
                let case = format!("{zone} {step:?} {from}");
                assert!(found.is_sorted_by(|one, other| one < other), "{case}");
                assert!(found.iter().all(|border| border % 900 == 0), "{case}");
                let (from, to) = (at(from).micros() / 1_000_000, at(to).micros() / 1_000_000);
                assert!(found[0] <= from && found[1] > from, "{case}");
                assert!(found[found.len() - 2] < to && found[found.len() - 1] >= to, "{case}");
            }
        }
    }
}

#[test]
fn what_is_too_long_or_ends_before_it_begins_is_refused() {
    let ask = |from: Timestamp, to: Timestamp, step| borders(from, to, step, &Zone::UTC);
    let hours = |many: usize| micros(i64::try_from(many).unwrap() * 3_600_000_000);
    assert_eq!(ask(micros(1), micros(0), Step::Hour), Err(InvalidSpan::Backwards));
    let most = ask(micros(0), hours(BUCKETS_MAX), Step::Hour).unwrap();
    assert_eq!(most.len(), BUCKETS_MAX + 1);
    assert_eq!(ask(micros(0), hours(BUCKETS_MAX + 1), Step::Hour), Err(InvalidSpan::TooMany));
    let days = |many: usize| micros(24 * hours(many).micros());
    assert_eq!(ask(micros(0), days(BUCKETS_MAX), Step::Day).unwrap().len(), BUCKETS_MAX + 1);
    assert_eq!(ask(micros(0), days(BUCKETS_MAX + 1), Step::Day), Err(InvalidSpan::TooMany));
    assert_eq!(
        Zone::named("Mars/Olympus").unwrap_err().to_string(),
        "there is no zone \"Mars/Olympus\"; zones are named like Europe/Berlin"
    );
    assert_eq!(Zone::named("Europe/Berlin").unwrap().name(), "Europe/Berlin");
}

#[test]
fn months_in_utc_know_leap_years() {
    let second = |text: &str| at(text).micros() / 1_000_000;
    for (within, first, next) in [
        ("2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ("2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(utc_month(second(within)), (second(first), second(next)));
    }
}
