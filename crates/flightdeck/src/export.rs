//! `flightdeck export` and `flightdeck import`: a log as lines of text, and back.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flightdeck_core::Position;
use flightdeck_server::cloud_event;
use flightdeck_server::event::Breaks;
use flightdeck_store::{LogQuery, Watcher as _, Whole, archive};
use serde_json::json;

use crate::append::Sheet;
use crate::backup::{export_checked, from_archive, part, said, taken};
use crate::door;
use crate::exit::Failure;
use crate::eyes::{Bar, Eyes, number};
use crate::settings::Settings;
use crate::stores::{self, Writing};

#[derive(Args)]
pub(crate) struct ExportArguments {
    /// The file to write, which must not be there; - is standard output
    file: PathBuf,
    /// Everything that is stored, or the events as CloudEvents 1.0
    #[arg(long, default_value = "flightdeck")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Flightdeck,
    Cloudevents,
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// The file to read; - is standard input
    file: PathBuf,
    /// Append the events afresh: with new positions and times, under the ids that they have. Streams and tags that belong to an aggregate
    /// (content, presentations, users, visitors) are refused: a log with these is imported as it is. Takes what export writes,
    /// CloudEvents, and lines such as {"streamId","eventType","data",…}
    #[arg(long)]
    as_new: bool,
}

pub(crate) async fn export(
    arguments: ExportArguments,
    settings: &Settings,
    eyes: &Eyes,
) -> Result<(), Failure> {
    let store = stores::read(settings).await?;
    let bar = Bar::new();
    if arguments.file == Path::new("-") {
        let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout());
        match arguments.format {
            Format::Flightdeck => drop(archive::export(&*store, &mut out, &bar).await?),
            Format::Cloudevents => drop(cloud_events(&*store, &mut out, &bar).await?),
        }
        return Ok(out.flush()?);
    }
    let events = match arguments.format {
        Format::Flightdeck => export_checked(&*store, &arguments.file, &bar).await?.events,
        Format::Cloudevents => {
            let part = part(&arguments.file)?;
            let mut out = std::io::BufWriter::with_capacity(256 * 1024, part.file());
            let events = cloud_events(&*store, &mut out, &bar).await?;
            drop(out);
            part.name().map_err(|error| taken(error, &arguments.file))?;
            events
        }
    };
    drop(bar);
    let mut out = eyes.out();
    let file = arguments.file.display();
    match eyes.json {
        true => writeln!(out, "{}", json!({ "file": file.to_string(), "events": events }))?,
        false => writeln!(out, "{file} holds {} events", number(events))?,
    }
    Ok(out.flush()?)
}

async fn cloud_events(store: &dyn Whole, out: &mut dyn std::io::Write, bar: &Bar) -> Result<u64, Failure> {
    let until = store.head().await?.cursor.position();
    let total = u64::try_from(until.get()).unwrap_or(0);
    let first = LogQuery { until: Some(until), ..LogQuery::default() };
    let (mut query, mut events, mut line) = ((until > Position::START).then_some(first), 0, Vec::new());
    while let Some(asked) = query {
        let page = store.read_log(&asked).await?;
        for event in &page.events {
            line.clear();
            cloud_event::write(&mut line, event, Breaks::Spaces);
            line.push(b'\n');
            out.write_all(&line)?;
            events += 1;
        }
        query = asked.next(&page);
        bar.at("events", events, total);
    }
    out.flush()?;
    Ok(events)
}

pub(crate) async fn import(
    arguments: ImportArguments,
    settings: &Settings,
    eyes: &Eyes,
) -> Result<(), Failure> {
    let bar = Bar::new();
    if arguments.as_new {
        let sheet = Sheet::open(&arguments.file)?;
        let checked = sheet.check(&door::afresh, &bar)?;
        let store = Writing::open(settings).await?;
        let done = sheet.append(store.store(), &checked, &bar).await;
        store.close().await;
        drop(bar);
        return done?.say(eyes);
    }
    let (head, events) = from_archive(&arguments.file, settings, &door::carried, &bar).await?;
    drop(bar);
    said(&head, events, settings, eyes)
}
