//! What people see: a terminal's width, colours, times as people say them, and how far a long work is.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use flightdeck_core::{Clock as _, Timestamp};
use flightdeck_store::Watcher;
use flightdeck_store::system::SystemClock;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::settings::Given;

/// How wide a line is when nobody says.
const WIDTH: usize = 120;

/// How answers are given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eyes {
    /// JSON, one object a line.
    pub(crate) json: bool,
    /// Whether JSON was asked for by name: what is said for people alone is in JSON only then.
    pub(crate) asked_json: bool,
    /// How many columns there are for people.
    pub(crate) width: usize,
}

impl Eyes {
    pub(crate) fn of(given: &Given) -> Self {
        let out = std::io::stdout();
        let columns = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let width = columns.filter(|columns| *columns > 0).unwrap_or(WIDTH);
        Self { json: given.json || !(given.text || out.is_terminal()), asked_json: given.json, width }
    }

    /// Standard output, with colours where it is a terminal that takes them.
    pub(crate) fn out(&self) -> impl Write {
        BufWriter::with_capacity(64 * 1024, anstream::AutoStream::auto(std::io::stdout()))
    }
}

/// Less important.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Names.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What should be looked at.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// How long ago something was, as people say it.
pub(crate) fn ago(then: Timestamp) -> String {
    let seconds = (SystemClock.now().micros() - then.micros()) / 1_000_000;
    match seconds {
        i64::MIN..=-2 => format!("in {}", span(-seconds)),
        -1..=1 => "now".to_owned(),
        _ => format!("{} ago", span(seconds)),
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A number with its thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text in one line, with nothing in it that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As much of a text as fits into so many columns.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// A bar on standard error, where that is a terminal; nothing elsewhere.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// What is being done, so that a new bar begins with something else.
    what: Mutex<String>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{msg:<14} [{bar:30}] {human_pos}/{human_len} {per_sec:>14} {eta:>5}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, what: Mutex::default() }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Watcher for Bar {
    fn at(&self, what: &str, done: u64, of: u64) {
        let mut before = self.what.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *before != what {
            what.clone_into(&mut before);
            self.bar.reset();
            self.bar.set_message(what.to_owned());
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
    }
}

#[cfg(test)]
mod tests {
    use super::{fit, number, span};

    #[test]
    fn numbers_and_times_are_as_people_say_them() {
        assert_eq!(
            (number(0), number(999), number(1_000), number(1_234_567)),
            ("0".to_owned(), "999".to_owned(), "1,000".to_owned(), "1,234,567".to_owned())
        );
        assert_eq!([59, 60, 3_599, 3_600, 86_400].map(span), ["59 s", "1 min", "59 min", "1 h", "1 d"]);
        assert_eq!((fit("abc", 3), fit("abcd", 3), fit("é€x", 2)), ("abc".into(), "ab…".into(), "é…".into()));
    }
}
