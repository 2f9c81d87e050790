//! The log as lines, each an event: up to the head, or for ever. What is read is never far ahead of whoever reads it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::Method;
use bytes::Bytes;
use flightdeck_core::{Epoch, Position};
use flightdeck_store::{
    EventStore, FollowOptions, Followed, Limit, LogPage, LogQuery, Recorded, StoreError, follow,
};
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::call::{Call, Granted};
use crate::event::{Breaks, write};
use crate::operation::{Answer, NDJSON};

use super::asked::Asked;

/// About so much goes out at once of what is followed.
const PIECE_BYTES: usize = 64 * 1024;

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
    // What can't be followed is answered as such: behind the head of an answer it could only be cut off.
    asked.checked(call.store.read_log(&asked.query()).await?)?;
    if call.request().method() == Method::HEAD {
        return Ok(answer(stream::empty()));
    }
    let store = Arc::clone(&call.store);
    let followed = follow(store, asked.after(), asked.filter.clone(), FollowOptions::default());
    let left = asked.limit.map(Limit::get);
    let following = Following {
        followed: Box::pin(followed),
        stopping: call.stopping.clone(),
        granted: call.granted(),
        asked,
        left,
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(answer(stream::unfold(following, |mut following| async move {
        let piece = following.piece().await?;
        Some((piece, following))
    })))
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
            if !self.granted.is_so().await {
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

/// Lines for ever.
struct Following {
    followed: Pin<Box<dyn Stream<Item = Result<Followed, StoreError>> + Send>>,
    stopping: watch::Receiver<bool>,
    granted: Granted,
    asked: Asked,
    left: Option<usize>,
    ready: VecDeque<Piece>,
    ended: bool,
}

impl Following {
    async fn piece(&mut self) -> Option<Piece> {
        loop {
            // It ends as it does when the server stops: whoever goes on from the last line hears why it may not.
            if !self.granted.is_so().await {
                return None;
            }
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            let followed = tokio::select! {
                followed = self.followed.next() => Some(followed),
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                () = tokio::time::sleep(Granted::LOOK) => None,
            };
            if let Some(followed) = followed {
                self.take(followed);
            }
        }
    }

    /// Makes a piece of what is there.
    fn take(&mut self, first: Option<Result<Followed, StoreError>>) {
        let (mut out, mut item) = (Vec::new(), Some(first));
        while let Some(followed) = item {
            match followed {
                Some(Ok(followed)) => self.look_at(followed, &mut out),
                Some(Err(error)) => self.cut(cut(&error)),
                None => self.ended = true,
            }
            let is_full = self.ended || out.len() >= PIECE_BYTES;
            item = if is_full { None } else { self.followed.next().now_or_never() };
        }
        if !out.is_empty() {
            self.ready.push_front(Ok(out.into()));
        }
    }

    fn look_at(&mut self, followed: Followed, out: &mut Vec<u8>) {
        let is_behind = |until: Option<Position>, at: Position| until.is_some_and(|until| at > until);
        match followed {
            Followed::Event(event, _) if is_behind(self.asked.until(), event.position) => self.ended = true,
            Followed::Event(event, cursor) => {
                if self.asked.shows(&event) {
                    write(out, &event, cursor.epoch(), Breaks::Spaces);
                    out.push(b'\n');
                    self.left = self.left.map(|left| left.saturating_sub(1));
                }
                self.ended = self.left == Some(0) || self.asked.until() == Some(event.position);
            }
            Followed::CaughtUp(cursor) | Followed::Checkpoint(cursor) => {
                self.ended = self.asked.until().is_some_and(|until| cursor.position() >= until);
            }
            Followed::Reset(..) => {
                self.cut(io::Error::other("the log is not the one that was followed any more"))
            }
        }
    }

    fn cut(&mut self, error: io::Error) {
        self.ended = true;
        self.ready.push_back(Err(error));
    }
}
