//! `flightdeck read` and `flightdeck tail`: looking into the log, and following it.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use flightdeck_core::{Cursor, EventType, Position, StreamId, Tag, Timestamp, Version};
use flightdeck_server::event::{self, Breaks};
use flightdeck_store::read::{After, TypePattern};
use flightdeck_store::{
    Direction, Filter, FollowOptions, Followed, Limit, LogQuery, Recorded, StreamPattern, StreamQuery, Whole,
};
use flightdeck_wire::event::Event;
use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use crate::away;
use crate::exit::{Failure, REFUSED};
use crate::eyes::{DIM, Eyes, NAME, ago, fit, plain, styled};
use crate::follow;
use crate::settings::Settings;
use crate::stores;

#[derive(Args)]
pub(crate) struct Filtered {
    /// Only these types, by commas; a trailing * stands for whatever follows
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Only these streams, by commas; account-* is a category
    #[arg(long, value_delimiter = ',')]
    streams: Vec<String>,
    /// Only what has all of these tags, by commas
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
}

impl Filtered {
    fn filter(&self) -> Result<Filter, Failure> {
        let wrong = |error: flightdeck_core::WordError| Failure::usage(error.to_string());
        Ok(Filter {
            streams: self
                .streams
                .iter()
                .map(|text| StreamPattern::parse(text))
                .collect::<Result<_, _>>()
                .map_err(wrong)?,
            types: self
                .types
                .iter()
                .map(|text| TypePattern::parse(text))
                .collect::<Result<_, _>>()
                .map_err(wrong)?,
            tags: self.tags.iter().map(Tag::new).collect::<Result<_, _>>().map_err(wrong)?,
        })
    }

    /// The same as a server is asked for it.
    fn params(&self) -> Vec<(&'static str, String)> {
        let all = [("streams", &self.streams), ("types", &self.types), ("tags", &self.tags)];
        let given = all.into_iter().filter(|(_, list)| !list.is_empty());
        given.map(|(name, list)| (name, list.join(","))).collect()
    }
}

#[derive(Args)]
pub(crate) struct ReadArguments {
    /// Only this stream; then --after is a version
    stream: Option<String>,
    /// What lies behind this position or cursor, or this version of the stream
    #[arg(long, value_name = "N")]
    after: Option<String>,
    /// From the newest to the oldest
    #[arg(long)]
    backward: bool,
    /// How many events; all when not given
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    filtered: Filtered,
}

#[derive(Args)]
pub(crate) struct TailArguments {
    /// Begin behind this position or cursor; the default is the end of the log
    #[arg(long, value_name = "N", conflicts_with = "from_start")]
    after: Option<String>,
    /// Begin with the first event
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    filtered: Filtered,
    #[command(flatten)]
    away: away::Arguments,
}

fn after(text: &str) -> Result<After, Failure> {
    let position = text.parse().ok().and_then(|number| Position::new(number).ok());
    match (position, text.parse::<Cursor>()) {
        (Some(position), _) => Ok(position.into()),
        (None, Ok(cursor)) => Ok(cursor.into()),
        (None, Err(_)) => Err(Failure::usage(format!("--after {text} is neither a position nor a cursor"))),
    }
}

/// Shows events, one page after the other, each aligned within itself.
pub(crate) struct Shown<W> {
    out: W,
    eyes: Eyes,
    left: u64,
}

/// What people are shown of an event.
struct Row<'e> {
    position: Position,
    stream: &'e StreamId,
    version: Version,
    event_type: &'e EventType,
    recorded_at: Timestamp,
    data: &'e [u8],
}

impl<'e> From<&'e Recorded> for Row<'e> {
    fn from(event: &'e Recorded) -> Self {
        Self {
            position: event.position,
            stream: &event.stream,
            version: event.version,
            event_type: &event.event_type,
            recorded_at: event.recorded_at,
            data: event.data_bytes(),
        }
    }
}

impl<'e> From<&'e Event> for Row<'e> {
    fn from(event: &'e Event) -> Self {
        Self {
            position: event.position,
            stream: &event.stream_id,
            version: event.version,
            event_type: &event.event_type,
            recorded_at: event.recorded_at,
            data: event.data.get().as_bytes(),
        }
    }
}

impl<W: Write> Shown<W> {
    /// Shows a page; says whether more is wanted.
    fn page(&mut self, events: &[Recorded], epoch: &Cursor) -> Result<bool, Failure> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(events.len());
        let events = &events[..most];
        self.left -= most as u64;
        if self.eyes.json {
            for event in events {
                let mut line = Vec::new();
                event::write(&mut line, event, epoch.epoch(), Breaks::Spaces);
                line.push(b'\n');
                self.out.write_all(&line)?;
            }
        } else {
            self.lines(&events.iter().map(Row::from).collect::<Vec<_>>())?;
        }
        self.out.flush()?;
        Ok(self.left > 0)
    }

    /// Shows an event that a server has told in JSON: as it is, for a program may know more of it than this one does.
    pub(crate) fn told(&mut self, json: &str) -> Result<(), Failure> {
        let wrong = |error: serde_json::Error| {
            let text = format!("what was told is no event: {error}");
            Failure::new(REFUSED, text, "look whether the URL is that of a FlightDeck, of this version")
        };
        if self.eyes.json {
            let told: &RawValue = serde_json::from_str(json).map_err(wrong)?;
            // Line ends in JSON are between its tokens.
            writeln!(self.out, "{}", told.get().replace(['\n', '\r'], " "))?;
        } else {
            let event: Event = serde_json::from_str(json).map_err(wrong)?;
            self.lines(&[Row::from(&event)])?;
        }
        Ok(self.out.flush()?)
    }

    /// Says that all that was there has come; programs need not be told.
    pub(crate) fn caught_up(&self, at: &Cursor) {
        if !self.eyes.json {
            eprintln!("{}", styled(DIM, &format!("caught up at {at}; what comes now is new")));
        }
    }

    fn lines(&mut self, rows: &[Row<'_>]) -> Result<(), Failure> {
        let place = |row: &Row<'_>| format!("{}@{}", row.stream, row.version);
        let widest = |width: fn(&Row<'_>) -> usize| rows.iter().map(width).max().unwrap_or(0);
        let positions = widest(|row| row.position.to_string().len());
        let places = widest(|row| row.stream.as_str().len() + 1 + row.version.to_string().len()).min(48);
        let types = widest(|row| row.event_type.as_str().len()).min(32);
        for row in rows {
            let place = fit(&place(row), places);
            let event_type = fit(row.event_type.as_str(), types);
            let when = ago(row.recorded_at);
            let left = self.eyes.width.saturating_sub(positions + places + types + 12 + 8);
            let data = plain(&String::from_utf8_lossy(row.data));
            writeln!(
                self.out,
                "{:>positions$}  {}{:gap$}  {event_type:<types$}  {}  {}",
                row.position,
                styled(NAME, &place),
                "",
                styled(DIM, &format!("{when:>10}")),
                fit(&data, left.max(16)),
                gap = places - place.chars().count(),
            )?;
        }
        Ok(())
    }
}

pub(crate) async fn read(arguments: ReadArguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let store = stores::read(settings).await?;
    let direction = if arguments.backward { Direction::Backward } else { Direction::Forward };
    let mut shown = Shown { out: eyes.out(), eyes: *eyes, left: arguments.limit.unwrap_or(u64::MAX) };
    let limit = usize::try_from(shown.left).unwrap_or(usize::MAX).clamp(1, Limit::MAX.get());
    let limit = Limit::new(limit).map_err(|error| Failure::usage(error.to_string()))?;
    let filter = arguments.filtered.filter()?;
    match &arguments.stream {
        Some(stream) => {
            let stream = StreamId::new(stream).map_err(|error| Failure::usage(error.to_string()))?;
            let wrong = |text: &str| Failure::usage(format!("--after {text} is not a version"));
            let version = |text: &String| match text.parse().map_err(|_| wrong(text))? {
                0 => Ok(None),
                number => Version::new(number).map(Some).map_err(|_| wrong(text)),
            };
            let after = arguments.after.as_ref().map(version).transpose()?.flatten();
            let query = StreamQuery { after, direction, limit, ..StreamQuery::of(stream) };
            read_stream(&*store, query, &filter, &mut shown).await
        }
        None => {
            let after = arguments.after.as_deref().map(after).transpose()?.unwrap_or(Position::START.into());
            let query = LogQuery { direction, limit, ..LogQuery::after(after).matching(filter) };
            read_log(&*store, query, &mut shown).await
        }
    }
}

async fn read_log(store: &dyn Whole, first: LogQuery, shown: &mut Shown<impl Write>) -> Result<(), Failure> {
    let mut query = Some(first);
    while let Some(asked) = query {
        let page = store.read_log(&asked).await?;
        query = asked.next(&page);
        if !shown.page(&page.events, &page.head)? {
            break;
        }
    }
    Ok(())
}

async fn read_stream(
    store: &dyn Whole,
    first: StreamQuery,
    filter: &Filter,
    shown: &mut Shown<impl Write>,
) -> Result<(), Failure> {
    let head = store.head().await?.cursor;
    let mut query = Some(first);
    while let Some(asked) = query {
        let page = store.read_stream(&asked).await?;
        if page.version.is_none() {
            let text = format!("there is no stream {}", asked.stream);
            return Err(Failure::new(
                REFUSED,
                text,
                "look for it with flightdeck read --streams 'category-*'",
            ));
        }
        query = asked.next(&page);
        let events: Vec<_> = page.events.into_iter().filter(|event| filter.matches(event)).collect();
        if !shown.page(&events, &head)? {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn tail(arguments: TailArguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let shown = Shown { out: eyes.out(), eyes: *eyes, left: u64::MAX };
    let following = async {
        match arguments.away.server()? {
            Some(server) => Box::pin(tail_away(&arguments, server, shown)).await,
            None => Box::pin(tail_here(&arguments, settings, shown)).await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = following => ended,
    }
}

/// Follows the log of a server somewhere.
async fn tail_away(
    arguments: &TailArguments,
    server: away::Server,
    shown: Shown<impl Write>,
) -> Result<(), Failure> {
    arguments.filtered.filter()?;
    let mut params = arguments.filtered.params();
    params.push(match (&arguments.after, arguments.from_start) {
        (Some(text), _) => {
            after(text)?;
            ("after", text.clone())
        }
        (None, true) => ("after", Position::START.to_string()),
        (None, false) => ("after", "head".to_owned()),
    });
    follow::run(server.asked("/api/events", &params), shown).await
}

/// Follows the log of the store.
async fn tail_here(
    arguments: &TailArguments,
    settings: &Settings,
    mut shown: Shown<impl Write>,
) -> Result<(), Failure> {
    let store: Arc<dyn Whole> = stores::read(settings).await?;
    let filter = arguments.filtered.filter()?;
    let from: After = match (&arguments.after, arguments.from_start) {
        (Some(text), _) => after(text)?,
        (None, true) => Position::START.into(),
        (None, false) => store.head().await?.cursor.into(),
    };
    // Nothing wakes a reader of a file that another process writes.
    let options = FollowOptions { poll: std::time::Duration::from_millis(200), ..FollowOptions::default() };
    let mut following = std::pin::pin!(flightdeck_store::follow(store, from, filter, options));
    while let Some(item) = following.next().await {
        match item? {
            Followed::Event(event, cursor) => {
                let _more = shown.page(std::slice::from_ref(&*event), &cursor)?;
            }
            Followed::CaughtUp(cursor) => shown.caught_up(&cursor),
            Followed::Checkpoint(_) => {}
            Followed::Reset(_, head) => {
                let text = format!("the log is not the one that was followed any more; its head is {head}");
                return Err(Failure::new(REFUSED, text, "begin again, from the start or from a position"));
            }
        }
    }
    Ok(())
}
