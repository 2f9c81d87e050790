//! `flightdeck verify`: whether a store is whole.

use std::io::Write as _;
use std::time::Instant;

use flightdeck_store::Verified;
use serde_json::json;

use crate::exit::{Failure, REFUSED};
use crate::eyes::{BAD, Bar, Eyes, GOOD, number, styled};
use crate::settings::Settings;
use crate::stores;

pub(crate) async fn run(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let store = stores::read(settings).await?;
    let bar = Bar::new();
    let begin = Instant::now();
    let verified = store.verify_watched(&bar).await?;
    drop(bar);
    let head = store.head().await?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut out = eyes.out();
    if eyes.json {
        let problems: Vec<_> = verified
            .problems
            .iter()
            .chain(&verified.views)
            .map(|problem| json!({ "position": problem.position.map(|at| at.get()), "what": problem.what }))
            .collect();
        let line = json!({
            "events": verified.events, "until": verified.until.get(), "head": head.cursor.to_string(),
            "seconds": (seconds * 1_000.0).round() / 1_000.0, "problems": problems,
        });
        writeln!(out, "{line}")?;
    } else {
        for problem in verified.problems.iter().chain(&verified.views) {
            let place =
                problem.position.map_or_else(|| "beside the log".to_owned(), |at| format!("position {at}"));
            writeln!(out, "{}  {place}: {}", styled(BAD, "damaged"), problem.what)?;
        }
        if verified.problems.is_empty() && verified.views.is_empty() {
            let rate = number(rate(&verified, seconds));
            writeln!(
                out,
                "{}  {} events up to position {}, in {seconds:.1} s ({rate} a second)",
                styled(GOOD, "whole"),
                number(verified.events),
                verified.until
            )?;
        }
    }
    out.flush()?;
    refuse(&verified)?;
    match verified.views.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            REFUSED,
            "the log is whole, and views are not of it",
            "build them anew: flightdeck projections rebuild NAME",
        )),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate to be read"
)]
fn rate(verified: &Verified, seconds: f64) -> u64 {
    (verified.events as f64 / seconds.max(0.001)) as u64
}

/// A failure when anything is damaged, views aside: those can be thrown away.
pub(crate) fn refuse(verified: &Verified) -> Result<(), Failure> {
    match verified.problems.len() {
        0 => Ok(()),
        1 => Err(damaged("1 thing is damaged")),
        many => Err(damaged(&format!("{many} things are damaged"))),
    }
}

fn damaged(text: &str) -> Failure {
    Failure::new(REFUSED, text, "restore a backup; what is not damaged can be read and exported up to there")
}
