//! What happens to contents in tests of views: histories that a seed gives, and projections that notice when something is folded
//! twice, not at all, or out of its order.

use flightdeck_core::{EventId, EventType, Json, SchemaNumber, StreamId};
use flightdeck_domain::content::Content;
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};
use flightdeck_store::{Append, NewEvent, Recorded, RequestKey};
use flightdeck_views::ContentView;
use uuid::Uuid;

/// The types of events that the view `content` reads, in streams of contents.
pub const TYPES: [&str; 3] = ["ContentCreated", "ContentUpdated", "ContentDeleted"];

/// Numbers that look like chance, and follow from where they began.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall alike for one seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `of`.
    pub fn roll(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % of
    }
}

/// An event with that name, in that stream.
fn event(stream: String, name: &str, schema: u32, data: String) -> NewEvent {
    let (stream, name) = (StreamId::new(stream).unwrap(), EventType::new(name).unwrap());
    let event = NewEvent::new(stream, name, Json::new(data, 1 << 16).unwrap());
    NewEvent { schema: SchemaNumber::new(schema).unwrap(), ..event }
}

/// Some words, now and then with what has to be escaped, or is not of ASCII.
fn words(dice: &mut Dice) -> String {
    const ODD: [&str; 6] = ["naïve", "\\\"quoted\\\"", "\\\\", "日本", "it's", "100%"];
    let word = |dice: &mut Dice| match dice.roll(12) {
        0 => ODD[usize::try_from(dice.roll(6)).unwrap()].to_owned(),
        _ => format!("w{}", dice.roll(500)),
    };
    (0..=dice.roll(6)).map(|_| word(dice)).collect::<Vec<_>>().join(" ")
}

fn labels(dice: &mut Dice) -> String {
    let first = dice.roll(20);
    let labels: Vec<String> = (0..dice.roll(4)).map(|step| format!("\"tag{}\"", first + step)).collect();
    format!("[{}]", labels.join(","))
}

fn created(dice: &mut Dice, content: u64) -> NewEvent {
    let (title, text, author) = (words(dice), words(dice), dice.roll(40));
    let begin = format!("\"contentId\":\"c{content}\",\"title\":\"{title}\"");
    let end = format!("\"content\":\"{text}\",\"author\":\"author {author}\"");
    // The first shape is still in old logs.
    let (schema, more) = match dice.roll(8) {
        0 => (1, format!("\"slug\":\"s{content}\"")),
        1 => (2, format!("\"format\":\"Html\",\"tags\":{}", labels(dice))),
        _ => {
            let (about, tags) = (words(dice), labels(dice));
            (
                2,
                format!(
                    "\"slug\":\"s{content}\",\"description\":\"{about}\",\"format\":\"Markdown\",\"tags\":{tags}"
                ),
            )
        }
    };
    event(format!("content-c{content}"), "ContentCreated", schema, format!("{{{begin},{more},{end}}}"))
}

/// Changes one field or several, or clears them.
fn updated(dice: &mut Dice, content: u64) -> NewEvent {
    let mut fields = vec![format!("\"contentId\":\"c{content}\"")];
    for _ in 0..=dice.roll(3) {
        let field = match dice.roll(10) {
            0 => "\"slug\":null".to_owned(),
            1 => format!("\"slug\":\"s{content}-{}\"", dice.roll(1_000)),
            2 => "\"description\":null".to_owned(),
            3 => format!("\"description\":\"{}\"", words(dice)),
            4 => format!("\"content\":\"{}\"", words(dice)),
            5 => format!(
                "\"format\":\"{}\"",
                ["Markdown", "Html", "ReStructuredText"][usize::try_from(dice.roll(3)).unwrap()]
            ),
            6 => format!("\"author\":\"author {}\"", dice.roll(40)),
            7 => format!("\"tags\":{}", labels(dice)),
            8 => format!(
                "\"status\":\"{}\"",
                ["Draft", "Published", "Archived"][usize::try_from(dice.roll(3)).unwrap()]
            ),
            _ => format!("\"title\":\"{}\"", words(dice)),
        };
        let name = field.split(':').next().unwrap().to_owned();
        if !fields.iter().any(|known| known.starts_with(&name)) {
            fields.push(field);
        }
    }
    event(format!("content-c{content}"), "ContentUpdated", 1, format!("{{{}}}", fields.join(",")))
}

fn deleted(content: u64) -> NewEvent {
    let data = format!("{{\"contentId\":\"c{content}\"}}");
    event(format!("content-c{content}"), "ContentDeleted", 1, data)
}

/// What is no event of a content: a namesake in another's stream, or something else in a content's.
fn foreign(dice: &mut Dice, content: u64) -> NewEvent {
    match dice.roll(3) {
        0 => {
            let name = TYPES[usize::try_from(dice.roll(3)).unwrap()];
            event(format!("page-c{content}"), name, 1, format!("{{\"contentId\":\"c{content}\"}}"))
        }
        1 => event(format!("content-c{content}"), "Noted", 1, format!("{{\"note\":\"{}\"}}", words(dice))),
        _ => event(format!("user-u{content}"), "UserRegistered", 7, "{}".to_owned()),
    }
}

/// A history of contents without an end.
#[derive(Debug)]
pub struct History {
    dice: Dice,
    next_content: u64,
    live: Vec<u64>,
    gone: Vec<u64>,
    number: u64,
}

impl History {
    /// The history of that seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { dice: Dice::new(seed), next_content: 0, live: Vec::new(), gone: Vec::new(), number: 0 }
    }

    fn any(&mut self, gone: bool) -> u64 {
        let from = if gone { &self.gone } else { &self.live };
        from[usize::try_from(self.dice.roll(from.len() as u64)).unwrap()]
    }

    fn happens(&mut self) -> NewEvent {
        let kind = self.dice.roll(100);
        if self.live.len() < 20 || kind < 12 {
            self.next_content += 1;
            self.live.push(self.next_content);
            return created(&mut self.dice, self.next_content);
        }
        match kind {
            12..16 => {
                let place = usize::try_from(self.dice.roll(self.live.len() as u64)).unwrap();
                let content = self.live.swap_remove(place);
                self.gone.push(content);
                deleted(content)
            }
            // What can't follow: it changes nothing.
            16 if !self.gone.is_empty() => {
                let content = self.any(true);
                updated(&mut self.dice, content)
            }
            17 if !self.gone.is_empty() => deleted(self.any(true)),
            18 => {
                let content = self.any(false);
                created(&mut self.dice, content)
            }
            19..25 => {
                let content = self.any(false);
                foreign(&mut self.dice, content)
            }
            _ => {
                let content = self.any(false);
                updated(&mut self.dice, content)
            }
        }
    }

    /// What happens next, in one append.
    pub fn append(&mut self) -> Vec<NewEvent> {
        let many = 1 + self.dice.roll(400);
        let next = |_| {
            self.number += 1;
            let event = self.happens();
            event.with_id(id(0x2222, self.number, 0))
        };
        (0..many).map(next).collect()
    }
}

/// Whether the view `content` is to read it.
#[must_use]
pub fn is_of_a_content(event: &Recorded) -> bool {
    event.stream.as_str().starts_with("content-") && TYPES.contains(&event.event_type.as_str())
}

pub(crate) fn id(story: u128, number: u64, part: u64) -> EventId {
    let number = (story << 80) | (u128::from(number) << 8) | u128::from(part);
    EventId::new(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 | number)).unwrap()
}

/// Makes `contents` contents, a thousand in each append.
#[must_use]
pub fn first(contents: u64) -> Vec<Append> {
    let made = |content| created(&mut Dice::new(content), content);
    let append = |from: u64| Append::of((from..contents.min(from + 1_000)).map(made));
    (0..contents).step_by(1_000).map(append).collect()
}

/// The `number`th append of a victim's to so many contents: whatever comes first, it can be folded.
#[must_use]
pub fn append(number: u64, contents: u64) -> Append {
    let mut dice = Dice::new(number);
    let mut one = |part| {
        let content = dice.roll(contents);
        let event = match dice.roll(20) {
            0..5 => created(&mut dice, content),
            5 => deleted(content),
            6 | 7 => foreign(&mut dice, content),
            _ => updated(&mut dice, content),
        };
        event.with_id(id(0x3333, number, part))
    };
    let events: Vec<_> = (0..=number % 3).map(&mut one).collect();
    let request = RequestKey::new("victim", &number.to_string(), [u8::try_from(number % 251).unwrap(); 32]);
    Append::of(events).with_request(request.unwrap())
}

/// How many events each content had: whatever is folded twice or left out is a wrong number.
#[derive(Debug, Clone, Copy)]
pub struct Tally;

impl Projection for Tally {
    fn name(&self) -> &'static str {
        "tally"
    }
    fn reads(&self) -> Reads {
        Reads::events_of::<Content>()
    }
    fn tables(&self) -> Vec<Table> {
        vec![Table::named("tally").key("stream", Kind::Text).column("count", Kind::Integer)]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of("tally", event.stream.as_str())])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let stream = event.stream.as_str();
        let before = rows.get("tally", stream).and_then(|row| row.integer("count")).unwrap_or(0);
        rows.put("tally", [stream.into(), (before + 1).into()])
    }
}

/// Books that wander between the boards of a shelf: each event finds all rows of a shelf, and changes two of them by what is in all.
/// Another order of events gives other rows.
#[derive(Debug, Clone, Copy)]
pub struct Shelves;

impl Shelves {
    /// One of twenty.
    fn shelf(event: &Recorded) -> Value {
        let bytes = event.stream.as_str().bytes();
        format!("shelf {}", bytes.fold(0_u32, |sum, byte| sum * 31 % 65_521 + u32::from(byte)) % 20).into()
    }
}

impl Projection for Shelves {
    fn name(&self) -> &'static str {
        "shelves"
    }
    fn reads(&self) -> Reads {
        Reads::events_of::<Content>()
    }
    fn tables(&self) -> Vec<Table> {
        let table = Table::named("shelves").key("shelf", Kind::Text).key("board", Kind::Integer);
        vec![table.column("books", Kind::Integer).nullable("last", Kind::Text)]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::all_of("shelves", [Self::shelf(event)])])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let shelf = Self::shelf(event);
        let all = rows.beginning("shelves", std::slice::from_ref(&shelf));
        let books = |row: &Row| row.integer("books").unwrap_or(0);
        let held: i64 = all.iter().map(books).sum();
        // Where it goes to depends on all that lies there.
        let board = (held + event.version.get() * 7) % 9;
        let lies = rows.find("shelves", &[shelf.clone(), board.into()]).map_or(0, books);
        let last =
            if event.event_type.as_str() == "ContentDeleted" { None } else { Some(event.stream.as_str()) };
        let Some(fullest) = all.iter().max_by_key(|row| books(row)).filter(|_| held > 60) else {
            return rows.put("shelves", [shelf, board.into(), (lies + 1).into(), last.into()]);
        };
        // It is full: what lies on the fullest board is halved, and an empty one goes.
        let (from, half) = (fullest.integer("board").unwrap_or(0), books(fullest) / 2);
        let emptiest =
            all.iter().min_by_key(|row| books(row)).filter(|row| row.integer("board") != Some(from));
        if let Some(emptiest) = emptiest {
            rows.remove_row(emptiest)?;
        }
        rows.put("shelves", [shelf, from.into(), half.max(1).into(), last.into()])
    }
}

/// The view `content` under the next number.
#[derive(Debug, Clone, Copy)]
pub struct NextContent;

impl Projection for NextContent {
    fn name(&self) -> &'static str {
        ContentView.name()
    }
    fn number(&self) -> u32 {
        2
    }
    fn reads(&self) -> Reads {
        ContentView.reads()
    }
    fn tables(&self) -> Vec<Table> {
        ContentView.tables()
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        ContentView.keys(event)
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        ContentView.fold(event, rows)
    }
}
