//! `flightdeck config`: what is set, and where it comes from.

use std::io::Write as _;

use crate::exit::Failure;
use crate::eyes::Eyes;
use crate::settings::Settings;

pub(crate) fn run(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let rows = settings.rows();
    let mut out = eyes.out();
    for (name, value, source) in &rows {
        match eyes.json {
            true => {
                let line = serde_json::json!({ "setting": name, "value": value, "source": source });
                writeln!(out, "{line}")?;
            }
            false => writeln!(out, "{name:<34} {value:<40} {source}")?,
        }
    }
    Ok(out.flush()?)
}
