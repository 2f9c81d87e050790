//! Visitors: every command in every state of consent, and what is wrong with a batch.

use flightdeck_core::kit::given;
use flightdeck_core::{Decider, Json, Timestamp};
use proptest::prelude::*;

use super::{
    Answer, BATCH_FACTS_MAX, Batch, Command, Consent, ConsentAccepted, ConsentDeclined, ConsentReset, Event,
    FACT_BYTES_MAX, Policy, Record, Visitor,
};
use crate::words::VisitorId;

fn id() -> VisitorId {
    VisitorId::new("v").unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), 1 << 20).unwrap()
}

fn answer() -> Answer {
    Answer { visitor_id: id(), at: at(7) }
}

fn accepted() -> Event {
    Event::ConsentAccepted(ConsentAccepted { visitor_id: id(), timestamp: at(1) })
}

fn declined() -> Event {
    Event::ConsentDeclined(ConsentDeclined { visitor_id: id(), timestamp: at(2) })
}

fn reset() -> Event {
    Event::ConsentReset(ConsentReset { visitor_id: id(), timestamp: at(3) })
}

/// Every fact as a site sends it, with all fields that it may have.
const FACTS: [&str; 5] = [
    r#"{"type":"PageViewed","pageId":"/a","title":"A","referrer":"https://example.org/","visitorTimestamp":"2026-11-21T10:30:00+01:00","metadata":{"a":1}}"#,
    r#"{"type":"ButtonClicked","buttonId":"buy","pageId":"/a","visitorTimestamp":"2026-11-21T10:30:00+01:00","metadata":{"a":1}}"#,
    r#"{"type":"FormSubmitted","formId":"order","pageId":"/a","fields":{"size":"L"},"visitorTimestamp":"2026-11-21T10:30:00+01:00","metadata":{"a":1}}"#,
    r#"{"type":"ElementInteraction","elementId":"film","interaction":"visible","pageId":"/a","visitorTimestamp":"2026-11-21T10:30:00+01:00","metadata":{"a":1}}"#,
    r#"{"type":"SystemEvent","name":"error","pageId":"/a","visitorTimestamp":"2026-11-21T10:30:00+01:00","metadata":{"a":1}}"#,
];

fn record(body: &str, policy: Policy) -> Command {
    Command::Record(Record { visitor_id: id(), batch: Batch::read(&json(body)).unwrap(), policy, at: at(7) })
}

/// What each command comes to of someone who has not answered, has accepted, has declined, and has taken an answer back.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 4]); 5] = [
    ("record",            ["PageViewed", "PageViewed", "nothing", "PageViewed"]),
    ("record, ask first", ["nothing", "PageViewed", "nothing", "nothing"]),
    ("accept",            ["ConsentAccepted", "nothing", "ConsentAccepted", "ConsentAccepted"]),
    ("decline",           ["ConsentDeclined", "ConsentDeclined", "nothing", "ConsentDeclined"]),
    ("reset",             ["nothing", "ConsentReset", "ConsentReset", "nothing"]),
];

fn command(name: &str) -> Command {
    match name {
        "record" => record(FACTS[0], Policy::UnlessDeclined),
        "record, ask first" => record(FACTS[0], Policy::AskFirst),
        "accept" => Command::AcceptConsent(answer()),
        "decline" => Command::DeclineConsent(answer()),
        "reset" => Command::ResetConsent(answer()),
        other => panic!("{other} is no command"),
    }
}

/// A new command does not compile before it has a row.
fn row(command: &Command) -> usize {
    match command {
        Command::Record(_) => 0,
        Command::AcceptConsent(_) => 2,
        Command::DeclineConsent(_) => 3,
        Command::ResetConsent(_) => 4,
    }
}

fn decide(consent: Consent, command: Command) -> Vec<Event> {
    match Visitor::decide(&consent, command) {
        Ok(events) => events,
        Err(never) => match never {},
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::PageViewed(_) => "PageViewed",
        Event::ButtonClicked(_) => "ButtonClicked",
        Event::FormSubmitted(_) => "FormSubmitted",
        Event::ElementInteraction(_) => "ElementInteraction",
        Event::SystemEvent(_) => "SystemEvent",
        Event::ConsentAccepted(_) => "ConsentAccepted",
        Event::ConsentDeclined(_) => "ConsentDeclined",
        Event::ConsentReset(_) => "ConsentReset",
    }
}

#[test]
fn every_command_in_every_state() {
    assert!([0, 2, 3, 4].iter().all(|place| row(&command(TABLE[*place].0)) == *place));
    let states = [vec![], vec![accepted()], vec![declined()], vec![accepted(), reset()]];
    for (name_of, expected) in TABLE {
        for (events, expected) in states.iter().zip(expected) {
            let consent = events.iter().fold(Visitor::initial(), Visitor::evolve);
            let found = decide(consent, command(name_of));
            let found = found.first().map_or("nothing", name);
            assert_eq!(found, expected, "{name_of} of one who is {consent:?}");
        }
    }
}

#[test]
fn a_command_names_its_visitor() {
    for (name, _) in TABLE {
        let stream = Visitor::stream(&command(name)).unwrap().unwrap();
        assert_eq!(stream.as_str(), "visitor-v", "{name}");
    }
}

#[test]
fn answers_are_stored_with_who_and_when() {
    given::<Visitor>([])
        .when(command("accept"))
        .then([Event::ConsentAccepted(ConsentAccepted { visitor_id: id(), timestamp: at(7) })]);
    given::<Visitor>([accepted()])
        .when(command("decline"))
        .then([Event::ConsentDeclined(ConsentDeclined { visitor_id: id(), timestamp: at(7) })]);
    given::<Visitor>([declined()])
        .when(command("reset"))
        .then([Event::ConsentReset(ConsentReset { visitor_id: id(), timestamp: at(7) })]);
}

#[test]
fn a_fact_is_stored_with_both_times_and_all_that_it_says() {
    let batch = format!("[{}]", FACTS.join(","));
    let events = decide(Consent::Accepted, record(&batch, Policy::AskFirst));
    assert_eq!(events.len(), 5);
    for (event, sent) in events.iter().zip(FACTS) {
        // A fact leaves an answer as it was.
        for consent in [Consent::Unanswered, Consent::Accepted, Consent::Declined] {
            assert_eq!(Visitor::evolve(consent, event), consent);
        }
        let stored = serde_json::to_value(event).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(sent).unwrap();
        let members = expected.as_object_mut().unwrap();
        assert_eq!(stored["eventType"], members.remove("type").unwrap());
        members.insert("visitorId".into(), "v".into());
        members.insert("timestamp".into(), "1970-01-01T00:00:07.000000Z".into());
        members.insert("visitorTimestamp".into(), "2026-11-21T09:30:00.000000Z".into());
        assert_eq!(stored["data"], expected);
    }
}

#[test]
fn a_fact_says_no_more_than_it_must() {
    for (sent, stored) in [
        (r#"{"type":"PageViewed","pageId":"/"}"#, r#""pageId":"/""#),
        (r#"{"type":"ButtonClicked","buttonId":"b","pageId":null}"#, r#""buttonId":"b""#),
        (r#"{"type":"FormSubmitted","formId":"f","fields":{}}"#, r#""formId":"f""#),
        (
            r#"{"type":"ElementInteraction","elementId":"e","interaction":"x"}"#,
            r#""elementId":"e","interaction":"x""#,
        ),
        (r#"{"type":"SystemEvent","name":"s","metadata":{}}"#, r#""name":"s""#),
    ] {
        let events = decide(Consent::Unanswered, record(sent, Policy::UnlessDeclined));
        let found = serde_json::to_string(&events[0]).unwrap();
        let expected =
            format!(r#""data":{{"visitorId":"v","timestamp":"1970-01-01T00:00:07.000000Z",{stored}}}}}"#);
        assert!(found.ends_with(&expected), "{found}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_by_its_place() {
    let wrong = |body: &str| {
        let wrong = Batch::read(&json(body)).unwrap_err();
        assert!(!wrong.is_too_much);
        let wrong = wrong.wrong;
        let mut all = wrong.missing;
        all.extend(wrong.invalid.into_keys());
        all.join(" ")
    };
    assert_eq!(wrong("{}"), "type");
    assert_eq!(wrong("7"), "");
    assert_eq!(wrong("[]"), "");
    assert_eq!(wrong(r#"{"type":"Bought"}"#), "type");
    assert_eq!(wrong(r#"{"type":"PageViewed"}"#), "pageId");
    assert_eq!(wrong(r#"{"type":"ConsentAccepted"}"#), "type");
    // Without a type that we know, nobody can say which fields do not belong there.
    assert_eq!(wrong(r#"{"pageId":"/"}"#), "type");
    assert_eq!(wrong(r#"{"type":"Bought","pageId":7,"metadata":7}"#), "metadata type");
    assert_eq!(wrong(r#"{"type":"PageViewed","pageId":"/","pageId":"/a"}"#), "pageId");
    let many = r#"[{"type":"PageViewed","pageId":"/"},{"type":"ElementInteraction","userId":"x","metadata":[]},
        {"type":"SystemEvent","name":"","visitorTimestamp":"yesterday"},7,{"type":"FormSubmitted","formId":"f","fields":1}]"#;
    assert_eq!(
        wrong(many),
        "[1].elementId [1].interaction [1].metadata [1].userId [2].name [2].visitorTimestamp [3] [4].fields"
    );
}

#[test]
fn a_batch_has_limits() {
    let one = r#"{"type":"PageViewed","pageId":"/"}"#;
    let batch = |count: usize| Batch::read(&json(&format!("[{}]", vec![one; count].join(","))));
    assert_eq!(batch(BATCH_FACTS_MAX).unwrap().facts().len(), 20);
    assert!(batch(BATCH_FACTS_MAX + 1).unwrap_err().is_too_much);
    let fact = |size: usize| {
        format!(r#"{{"type":"PageViewed","pageId":"/","metadata":{{"a":"{}"}}}}"#, "x".repeat(size))
    };
    let around = fact(0).len();
    assert!(Batch::read(&json(&fact(FACT_BYTES_MAX - around))).is_ok());
    let wrong = Batch::read(&json(&format!("[{one},{}]", fact(FACT_BYTES_MAX - around + 1)))).unwrap_err();
    assert!(wrong.is_too_much);
    assert_eq!(wrong.wrong.invalid["[1]"], "takes 16385 bytes, and 16384 is the most");
    // As it comes in, and not only as it would be stored: escapes count too; and what it need not say does not make it too large.
    let escaped =
        format!(r#"{{"type":"PageViewed","pageId":"/","metadata":{{"a":"{}"}}}}"#, "\\u0041".repeat(3_000));
    assert!(Batch::read(&json(&escaped)).is_err());
    let [largest] =
        Batch::read(&json(&fact(FACT_BYTES_MAX - around))).unwrap().facts().to_vec().try_into().unwrap();
    assert!(Batch::new(vec![largest]).is_ok());
    assert!(Batch::new(vec![]).is_err());
    let facts = batch(BATCH_FACTS_MAX).unwrap().facts().to_vec();
    assert!(Batch::new([facts.clone(), facts].concat()).is_err());
}

fn any_command() -> impl Strategy<Value = Command> {
    (0..6_u8, 0..5_usize).prop_map(|(what, fact)| match what {
        0 | 1 => record(FACTS[fact], Policy::UnlessDeclined),
        2 => record(FACTS[fact], Policy::AskFirst),
        3 => Command::AcceptConsent(answer()),
        4 => Command::DeclineConsent(answer()),
        _ => Command::ResetConsent(answer()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    // 1,000 cases of 100 steps and more.
    #[test]
    fn whatever_is_asked_consent_is_obeyed(commands in proptest::collection::vec(any_command(), 100..=110)) {
        let mut consent = Visitor::initial();
        // The last answer that was given, said in the simplest way.
        let mut last = Consent::Unanswered;
        for command in commands {
            let events = decide(consent, command.clone());
            match &command {
                Command::Record(record) => {
                    let allowed = match last {
                        Consent::Accepted => true,
                        Consent::Declined => false,
                        Consent::Unanswered => record.policy == Policy::UnlessDeclined,
                    };
                    prop_assert_eq!(events.len(), if allowed { record.batch.facts().len() } else { 0 });
                }
                Command::AcceptConsent(_) => last = Consent::Accepted,
                Command::DeclineConsent(_) => last = Consent::Declined,
                Command::ResetConsent(_) => last = Consent::Unanswered,
            }
            consent = events.iter().fold(consent, Visitor::evolve);
            prop_assert_eq!(consent, last);
            if !matches!(command, Command::Record(_)) {
                prop_assert_eq!(decide(consent, command), vec![]);
            }
        }
    }
}
