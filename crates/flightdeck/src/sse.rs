//! Server-Sent Events, read: bytes come in whatever pieces they may, and items go out. Knows no connection.

use std::fmt;
use std::time::Duration;

/// What a line may have, and what the data of an event may, in bytes: far more than any event of a log has.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// After how long to come again when the connection is lost.
    Retry(Duration),
    /// Something happened.
    Event(Event),
}

/// An event, whose lines have all come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// What kind it is; empty when that was not said.
    pub(crate) name: String,
    /// By what it is gone on behind it, if that was said.
    pub(crate) id: Option<String>,
    /// Its data; lines of it have line feeds between them.
    pub(crate) data: String,
}

/// These are no Server-Sent Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    NotText,
    TooLong,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("what comes is no UTF-8"),
            Self::TooLong => write!(f, "a line, or the data of an event, has more than {BYTES_MAX} bytes"),
        }
    }
}

/// A stream of them, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The line whose end has not come yet.
    line: Vec<u8>,
    /// Whether a carriage return was the last that came: a line feed behind it is part of the same end.
    has_returned: bool,
    /// Whether the first line was read: only before that one a byte order mark is none of its text.
    has_begun: bool,
    name: String,
    id: Option<String>,
    data: Option<String>,
}

impl Reader {
    /// Takes in the next piece, and puts what is complete now behind `items`: also what stood before something wrong.
    pub(crate) fn read(&mut self, piece: &[u8], items: &mut Vec<Item>) -> Result<(), Wrong> {
        let mut rest = piece;
        loop {
            if self.has_returned && !rest.is_empty() {
                self.has_returned = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.keep(rest);
            };
            self.keep(&rest[..end])?;
            self.has_returned = rest[end] == b'\r';
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take(&line, items)?;
        }
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Wrong> {
        if self.line.len() + part.len() > BYTES_MAX {
            return Err(Wrong::TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Takes in a line.
    fn take(&mut self, line: &[u8], items: &mut Vec<Item>) -> Result<(), Wrong> {
        let mut line = std::str::from_utf8(line).map_err(|_| Wrong::NotText)?;
        if !std::mem::replace(&mut self.has_begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.end(items);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => return self.add(value),
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let wait = value.parse().ok().map(Duration::from_millis);
                items.extend(wait.map(Item::Retry));
            }
            // A comment, whose field is empty, and what nobody knows yet.
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, value: &str) -> Result<(), Wrong> {
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) if data.len() + value.len() >= BYTES_MAX => return Err(Wrong::TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
        }
        Ok(())
    }

    /// An empty line: what stands before it is an event, if it has data.
    fn end(&mut self, items: &mut Vec<Item>) {
        let (name, id) = (std::mem::take(&mut self.name), self.id.take());
        if let Some(data) = self.data.take() {
            items.push(Item::Event(Event { name, id, data }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BYTES_MAX, Event, Item, Reader, Wrong};

    fn event(name: &str, id: Option<&str>, data: &str) -> Item {
        Item::Event(Event { name: name.to_owned(), id: id.map(str::to_owned), data: data.to_owned() })
    }

    /// What comes of a text, in pieces of that size.
    fn read(text: &[u8], size: usize) -> Vec<Item> {
        let (mut reader, mut items) = (Reader::default(), Vec::new());
        for piece in text.chunks(size) {
            reader.read(piece, &mut items).unwrap();
        }
        items
    }

    #[track_caller]
    fn check(text: &str, expected: &[Item]) {
        for text in [text.to_owned(), text.replace('\n', "\r\n"), text.replace('\n', "\r")] {
            for size in 1..=text.len() {
                assert_eq!(read(text.as_bytes(), size), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn it_is_the_same_wherever_a_piece_ends_and_however_a_line_does() {
        check(
            "retry: 1500\n\nid: e-1\ndata: {\"é€\":1}\n\n: \n\nevent: caught-up\nid: e-1\ndata:\n\n",
            &[
                Item::Retry(Duration::from_millis(1_500)),
                event("", Some("e-1"), "{\"é€\":1}"),
                event("caught-up", Some("e-1"), ""),
            ],
        );
    }

    #[test]
    fn lines_of_data_are_joined() {
        check("data: a\ndata:b\ndata\ndata:  c\n\n", &[event("", None, "a\nb\n\n c")]);
    }

    #[test]
    fn what_is_cut_off_or_has_no_data_is_no_event() {
        check("data: whole\n\ndata: half\n", &[event("", None, "whole")]);
        check("event: x\nid: e-9\n\ndata: next\n\n", &[event("", None, "next")]);
    }

    #[test]
    fn nothing_of_an_event_is_left_for_the_next() {
        check(
            "event: x\nid: e-1\ndata: 1\n\ndata: 2\n\n",
            &[event("x", Some("e-1"), "1"), event("", None, "2")],
        );
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        check(
            "\u{feff}retry: soon\nretry: +5\nretry:\nretry: 99999999999999999999\nid: a\0b\nwhat: x\ndata: 1\n\n",
            &[event("", None, "1")],
        );
    }

    #[test]
    fn a_retry_counts_at_once_and_stands_before_its_event() {
        check(
            "retry: 7\nevent: error\ndata: {}\n\n",
            &[Item::Retry(Duration::from_millis(7)), event("error", None, "{}")],
        );
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_and_what_stood_before_it_is_not_lost() {
        let refused = |text: &[u8]| {
            let (mut reader, mut items) = (Reader::default(), Vec::new());
            let read = text.chunks(60_000).try_for_each(|piece| reader.read(piece, &mut items));
            (read, items)
        };
        let before = vec![event("", None, "1")];
        assert_eq!(refused(b"data: 1\n\ndata: \xff\n\n"), (Err(Wrong::NotText), before.clone()));
        let long = format!("data: 1\n\n: {}", "x".repeat(BYTES_MAX));
        assert_eq!(refused(long.as_bytes()), (Err(Wrong::TooLong), before.clone()));
        let half = "x".repeat(BYTES_MAX / 2);
        let long = format!("data: 1\n\ndata: {half}\ndata: {half}\n\n");
        assert_eq!(refused(long.as_bytes()), (Err(Wrong::TooLong), before));
    }
}
