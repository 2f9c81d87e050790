//! What happens on a whole site, in tests of all views: contents, presentations, users and visitors, as a seed gives it.

use flightdeck_core::{EventType, Json, StreamId, Timestamp};
use flightdeck_store::NewEvent;

use crate::contents::{Dice, History, id};

/// Presentations, users and visitors that there may be.
const PRESENTATIONS: u64 = 60;
/// Slides that one presentation may come to have.
const SLIDES: u64 = 40;
const USERS: u64 = 200;
const VISITORS: u64 = 2_500;
/// The evening before a leap year begins, in UTC.
const BEGIN: i64 = 1_703_980_800_000_000;

/// A site's history.
pub struct Site {
    dice: Dice,
    contents: History,
    /// Events so far.
    number: u64,
}

fn event(stream: &str, name: &str, data: &str) -> NewEvent {
    let (stream, name) = (StreamId::new(stream).unwrap(), EventType::new(name).unwrap());
    NewEvent::new(stream, name, Json::new(data.to_owned(), 1 << 16).unwrap())
}

impl Site {
    /// The history that a seed gives.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { dice: Dice::new(seed), contents: History::of(seed), number: 0 }
    }

    /// What happens next, in one append.
    pub fn append(&mut self) -> Vec<NewEvent> {
        if self.dice.roll(40) == 0 {
            let mut some = self.contents.append();
            some.retain(|event| event.stream.as_str().starts_with("content-"));
            some.truncate(100);
            if !some.is_empty() {
                return some;
            }
        }
        (0..=self.dice.roll(20)).map(|_| self.happens()).collect()
    }

    fn happens(&mut self) -> NewEvent {
        self.number += 1;
        let event = match self.dice.roll(20) {
            0..=3 => self.presentation(),
            4 => self.user(),
            _ => self.fact(),
        };
        event.with_id(id(0x3333, self.number, 0))
    }

    /// Whatever could be said of a presentation, whether or not it can follow.
    fn presentation(&mut self) -> NewEvent {
        let id = format!("p{}", self.dice.roll(PRESENTATIONS));
        let (slide, other, number) = (self.dice.roll(SLIDES), self.dice.roll(SLIDES), self.number);
        let content = format!("\"content\":{{\"type\":\"text\",\"text\":\"words {number}\"}}");
        let (name, data) = match self.dice.roll(16) {
            0 | 1 => (
                "PresentationCreated",
                format!(
                    "\"title\":\"Talk {number}\",\"author\":\"ada\",\"theme\":\"dark\",\"isPublic\":true"
                ),
            ),
            2 | 3 => ("PresentationUpdated", format!("\"description\":\"About {number}\"")),
            4 if self.dice.roll(40) == 0 => ("PresentationDeleted", String::new()),
            4..=9 => (
                "SlideAdded",
                format!("\"slideId\":\"s{slide}\",{content},\"order\":{}", 1 + self.dice.roll(4)),
            ),
            10 | 11 => ("SlideUpdated", format!("\"slideId\":\"s{slide}\",\"title\":\"Now {number}\"")),
            12 => ("SlideRemoved", format!("\"slideId\":\"s{slide}\"")),
            _ => ("SlidesReordered", format!("\"slideIds\":[\"s{slide}\",\"s{other}\"]")),
        };
        let comma = if data.is_empty() { "" } else { "," };
        event(&format!("presentation-{id}"), name, &format!("{{\"presentationId\":\"{id}\"{comma}{data}}}"))
    }

    fn user(&mut self) -> NewEvent {
        let id = format!("u{}", self.dice.roll(USERS));
        let number = self.number;
        let (name, data) = match self.dice.roll(4) {
            0 => (
                "UserRegistered",
                format!("\"email\":\"{id}@example.org\",\"displayName\":\"User {number}\""),
            ),
            1 => ("UserLoggedIn", format!("\"loginTimestamp\":\"{}\"", self.now())),
            2 => ("UserProfileChanged", format!("\"displayName\":\"Name {number}\"")),
            _ => ("UserRoleChanged", "\"role\":\"Editor\"".to_owned()),
        };
        event(&format!("user-{id}"), name, &format!("{{\"userId\":\"{id}\",{data}}}"))
    }

    /// Time goes on over a leap day and changes of clocks, and now and then somebody's news come late.
    fn now(&mut self) -> Timestamp {
        let late = if self.dice.roll(30) == 0 { self.dice.roll(7_200) } else { 0 };
        let seconds = self.number * 350 - late.min(self.number * 350) + self.dice.roll(300);
        Timestamp::from_micros(BEGIN + i64::try_from(seconds).unwrap() * 1_000_000 + 123_456).unwrap()
    }

    fn fact(&mut self) -> NewEvent {
        // Some come again and again, most once or twice.
        let visitor = match self.dice.roll(3) {
            0 => self.dice.roll(20),
            _ => self.dice.roll(VISITORS),
        };
        let (at, page) = (self.now(), self.dice.roll(80));
        let (name, own) = match self.dice.roll(12) {
            0 => ("ButtonClicked", format!(",\"buttonId\":\"buy\",\"pageId\":\"/p/{page}\"")),
            1 => ("FormSubmitted", ",\"formId\":\"contact\"".to_owned()),
            2 => (
                "ElementInteraction",
                format!(",\"elementId\":\"film\",\"interaction\":\"hover\",\"pageId\":\"/p/{page}\""),
            ),
            3 => ("SystemEvent", ",\"name\":\"error\"".to_owned()),
            4 => ("ConsentAccepted", String::new()),
            _ => (
                "PageViewed",
                format!(
                    ",\"pageId\":\"/p/{page}\",\"title\":\"Page {page}\",\"referrer\":\"https://example.org/\""
                ),
            ),
        };
        let data = format!("{{\"visitorId\":\"v{visitor}\",\"timestamp\":\"{at}\"{own}}}");
        event(&format!("visitor-v{visitor}"), name, &data)
    }
}
