//! The log as lines, each an event: up to the head, or for ever. What is read is never far ahead of whoever reads it.

use std::io;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::Method;
use bytes::Bytes;
use flightdeck_core::{Cursor, Epoch};
use flightdeck_store::{EventStore, Limit, LogPage, LogQuery, Recorded, ResetReason, StoreError};
use futures_core::Stream;
use futures_util::stream;
use tokio::task::JoinHandle;

use crate::asker::Granted;
use crate::call::Call;
use crate::event::{Breaks, write};
use crate::operation::{Answer, NDJSON};
use crate::push::body::{Body, Form};
use crate::push::ring::{Frame, Segment};
use crate::push::seat::Transport;
use crate::push::stay::Leave;
use crate::push::subscriber::{Begun, Subscriber, begin};

use super::asked::Asked;
use super::events::too_many;

/// What cuts a body off, so that nobody takes it for a whole one.
type Piece = io::Result<Bytes>;

/// Every line up to where the head is now.
pub(super) async fn to_the_head(call: &Call, asked: Asked) -> Answer {
    let mut query = asked.query();
    if let Some(limit) = asked.limit {
        query.limit = limit;
    }
    let first = asked.checked(call.store.read_log(&query).await?)?;
    if call.request().method() == Method::HEAD {
        return Ok(answer(stream::empty()));
    }
    let head = first.head.position();
    query.until = Some(query.until.map_or(head, |until| until.min(head)));
    let left = asked.limit.map(Limit::get);
    let next = Some(Ahead::Here(Box::new(first)));
    let lines = Lines { store: Arc::clone(&call.store), granted: call.granted(), asked, query, next, left };
    Ok(answer(stream::unfold(lines, |mut lines| async move {
        let piece = lines.piece().await?;
        Some((piece, lines))
    })))
}

/// Every line, and what comes then.
pub(super) async fn following(call: &Call, asked: Asked) -> Answer {
    call.may_follow()?;
    // What can't be followed is answered as such: behind the head of an answer it could only be cut off.
    let begun = match begin(&*call.store, &asked.after()).await? {
        Begun::At(cursor, history) if asked.until_is_of(cursor.epoch()) => (cursor, history),
        Begun::At(head, _) => return Err(StoreError::EpochChanged { head }.into()),
        Begun::Reset(_, head) => return Err(StoreError::EpochChanged { head }.into()),
    };
    if call.request().method() == Method::HEAD {
        return Ok(answer(stream::empty()));
    }
    let Some(seat) = call.seat(Transport::Lines) else { return Err(too_many()) };
    let follows = Subscriber::new(&call.push, &call.stopping, begun, asked.shown(), asked.terms());
    Ok(HttpResponse::Ok().content_type(NDJSON).body(Body::new(OneALine, follows, call.stay(), seat)))
}

/// Every event is a line, and nothing else is.
#[derive(Debug, Clone, Copy)]
struct OneALine;

impl Form for OneALine {
    fn one<'s>(self, segment: &'s Segment, frame: &Frame) -> [&'s [u8]; 2] {
        [segment.json_of(frame), b"\n"]
    }

    fn reset(self, _: ResetReason, _: &Cursor) -> io::Result<String> {
        Err(io::Error::other("the log is not the one that was followed any more"))
    }

    fn leave(self, leave: Leave, _: &Cursor) -> io::Result<String> {
        match leave {
            Leave::FAILED => Err(io::Error::other("the log can't be read on")),
            // It ends: whoever goes on from the last line hears why it may not.
            _ => Ok(String::new()),
        }
    }
}

fn answer(lines: impl Stream<Item = Piece> + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(NDJSON).streaming(lines)
}

/// Why a body ends before its end.
fn cut(error: &StoreError) -> io::Error {
    tracing::warn!(error = error as &dyn std::error::Error, "a reader of the log was cut off");
    io::Error::other("the log can't be read on")
}

/// The page that comes next: read already, or being read while the one before goes out.
enum Ahead {
    Here(Box<LogPage>),
    UnderWay(JoinHandle<Result<LogPage, StoreError>>),
}

/// Lines up to the head: one page that goes out, and one that is read meanwhile.
struct Lines {
    store: Arc<dyn EventStore>,
    granted: Granted,
    asked: Asked,
    query: LogQuery,
    next: Option<Ahead>,
    left: Option<usize>,
}

impl Lines {
    async fn piece(&mut self) -> Option<Piece> {
        loop {
            if self.granted.not_so().await.is_some() {
                return Some(Err(io::Error::other("what was granted is not, any more")));
            }
            let read = match self.next.take()? {
                Ahead::Here(page) => Ok(*page),
                Ahead::UnderWay(page) => match page.await {
                    Ok(Ok(page)) => Ok(page),
                    Ok(Err(error)) => Err(cut(&error)),
                    Err(_) => Err(io::Error::other("the log can't be read on")),
                },
            };
            let page = match read {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            let next = self.query.next(&page);
            let (mut events, epoch) = (page.events, page.head.epoch().clone());
            events.retain(|event| self.asked.shows(event));
            if let Some(left) = &mut self.left {
                events.truncate(*left);
                *left -= events.len();
            }
            let is_enough = self.left == Some(0);
            if let Some(query) = next.filter(|_| !is_enough) {
                self.query = query.clone();
                let store = Arc::clone(&self.store);
                self.next = Some(Ahead::UnderWay(tokio::spawn(async move { store.read_log(&query).await })));
            }
            if !events.is_empty() {
                return Some(Ok(lines(&events, &epoch)));
            }
        }
    }
}

fn lines(events: &[Recorded], epoch: &Epoch) -> Bytes {
    let mut out = Vec::new();
    for event in events {
        write(&mut out, event, epoch, Breaks::Spaces);
        out.push(b'\n');
    }
    out.into()
}
