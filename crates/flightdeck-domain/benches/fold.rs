//! How long it takes to fold a content that was changed 10,000 times: from events, and from what is stored.
#![expect(clippy::unwrap_used, reason = "a bench that fails panics")]

use std::time::{Duration, Instant};

use flightdeck_core::{Decider, Json, StoredEvents};
use flightdeck_domain::ContentId;
use flightdeck_domain::content::{Change, Content, Create, Event, State};

const CHANGES: usize = 10_000;
const ROUNDS: usize = 101;

fn main() {
    let id = ContentId::new("0192f3a4-7b1c-7def-8123-456789abcdef").unwrap();
    let json = |text: String| Json::new(text, 1 << 20).unwrap();
    let body = r#"{"title":"T","content":"C","author":"A","slug":"s"}"#.to_owned();
    let mut events = vec![Event::Created(Create::read(id.clone(), &json(body), None).unwrap().new)];
    for number in 0..CHANGES {
        let patch = match number % 4 {
            0 => format!(r#"{{"title":"Title {number}"}}"#),
            1 => format!(r#"{{"content":"{}{number}"}}"#, "text ".repeat(60)),
            2 => format!(r#"{{"slug":"slug-{number}","tags":["a","b{number}"]}}"#),
            _ => format!(r#"{{"description":"Number {number}","format":"Html","author":"A{number}"}}"#),
        };
        events.push(Event::Updated(Change::read(id.clone(), &json(patch)).unwrap().to));
    }
    let stored: Vec<_> = events.iter().map(|event| event.to_stored().unwrap()).collect();
    let folded = median(|| events.iter().fold(Content::initial(), Content::evolve));
    let read = median(|| {
        stored.iter().fold(Content::initial(), |state, event| {
            let (name, data) = (event.name.as_str(), event.data.as_bytes());
            Content::evolve(state, &Event::from_stored(name, event.schema, data).unwrap().unwrap())
        })
    });
    println!("{CHANGES} changes of a content, median of {ROUNDS}:");
    println!("folded              {:>8.3} ms   wanted: under 5", folded.as_secs_f64() * 1e3);
    println!("read from JSON too  {:>8.3} ms", read.as_secs_f64() * 1e3);
}

/// Folds again and again, and says how long the one in the middle took.
fn median(fold: impl Fn() -> State) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            let state = std::hint::black_box(fold());
            let time = begin.elapsed();
            assert!(matches!(state, State::Live(page) if page.now.author.as_str() == "A9999"));
            time
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}
