//! The log in pages: as JSON, and as CloudEvents; and how a page waits for something to come.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::Method;
use flightdeck_core::Epoch;
use flightdeck_store::{LogPage, Recorded};
use tokio::time::{Instant, sleep_until};

use crate::asker::{Ended, Granted};
use crate::call::Call;
use crate::cloud_event;
use crate::event::{self, Breaks, put_text};
use crate::next_link::linked;
use crate::operation::{Answer, JSON};
use crate::problem::{Code, Problem};
use crate::push::stay::Leave;
use crate::push::subscriber::{Step, Subscriber, Terms};
use crate::trace;

use super::asked::Asked;

/// How often a page that waits looks whether it still may.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn json(call: &Call, asked: Asked) -> Answer {
    let page = read(call, &asked).await?;
    let next = asked.next(&page);
    let scanned_to = page.scanned_to().to_string();
    let ends = Ends {
        scanned_to: &scanned_to,
        head: &page.head.to_string(),
        caught_up: page.end,
        next: next.as_deref(),
    };
    Ok(answered(call, &page.events, page.head.epoch(), &ends))
}

pub(super) async fn cloud_events(call: &Call, asked: Asked) -> Answer {
    let page = read(call, &asked).await?;
    let mut body = b"[".to_vec();
    for (place, event) in page.events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        cloud_event::write(&mut body, event, Breaks::Kept);
    }
    body.push(b']');
    let answer = HttpResponse::Ok().content_type(cloud_event::BATCH).body(body);
    Ok(linked(answer, call.request(), asked.next(&page).as_deref()))
}

/// Where a page of events ends, and where the log does.
pub(in crate::routes) struct Ends<'p> {
    pub(in crate::routes) scanned_to: &'p str,
    pub(in crate::routes) head: &'p str,
    pub(in crate::routes) caught_up: bool,
    pub(in crate::routes) next: Option<&'p str>,
}

/// The answer that is a page of events.
pub(in crate::routes) fn answered(
    call: &Call,
    events: &[Recorded],
    epoch: &Epoch,
    ends: &Ends<'_>,
) -> HttpResponse {
    let mut body = b"{\"events\":[".to_vec();
    for (place, event) in events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        event::write(&mut body, event, epoch, Breaks::Kept);
    }
    body.extend_from_slice(b"],\"scannedTo\":");
    put_text(&mut body, ends.scanned_to);
    body.extend_from_slice(b",\"head\":");
    put_text(&mut body, ends.head);
    body.extend_from_slice(if ends.caught_up { b",\"caughtUp\":true" } else { b",\"caughtUp\":false" });
    if let Some(next) = ends.next {
        body.extend_from_slice(b",\"next\":");
        put_text(&mut body, next);
    }
    body.push(b'}');
    linked(HttpResponse::Ok().content_type(JSON).body(body), call.request(), ends.next)
}

/// Reads a page. When there is nothing on it, waits for something to come as long as was asked, or until the server stops.
async fn read(call: &Call, asked: &Asked) -> Result<LogPage, Problem> {
    let wait = if call.request().method() == Method::HEAD { Duration::ZERO } else { asked.wait };
    let until = Instant::now() + wait;
    let (mut query, mut granted) = (asked.page(), call.granted());
    loop {
        let page = asked.checked(trace::part("read log", call.store.read_log(&query)).await?)?;
        if let Some(ended) = granted.not_so().await {
            return Err(not_any_more(ended));
        }
        let reached = asked.until().is_some_and(|until| page.scanned_to >= until);
        let is_over = Instant::now() >= until || call.is_stopping() || wait.is_zero();
        if !page.events.is_empty() || reached || is_over {
            return Ok(page);
        }
        // What was looked at does not have to be looked at again.
        query.after = page.scanned_to().into();
        if page.end {
            let begun = (page.scanned_to(), page.head.position());
            let follows = Subscriber::new(&call.push, &call.stopping, begun, asked.shown(), Terms::default());
            if let Some(ended) = something(call, follows, until, &mut granted).await {
                return Err(not_any_more(ended));
            }
        }
    }
}

fn not_any_more(ended: Ended) -> Problem {
    let Leave(_, why) = Leave::of(ended);
    match ended {
        Ended::Unknown => Problem::new(Code::Unavailable, why).retry_after(1),
        Ended::RanOut | Ended::TakenBack => Problem::new(Code::Unauthenticated, why),
    }
}

/// Waits for something that passes: until then, until it may wait no more, or until the server stops. Why it may not at all, if so.
async fn something(
    call: &Call,
    mut follows: Subscriber,
    until: Instant,
    granted: &mut Granted,
) -> Option<Ended> {
    let mut stopping = call.stopping.clone();
    loop {
        let comes = poll_fn(|cx| {
            follows.wake_at(until);
            loop {
                match ready!(follows.poll_step(cx)) {
                    Step::CaughtUp(_) | Step::Checkpoint(_) | Step::FellBehind | Step::Failed => {}
                    // There is something, or it is another log. One that can't be read for long is asked again in the end.
                    _ => return Poll::Ready(()),
                }
            }
        });
        tokio::select! {
            () = comes => return None,
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            () = sleep_until(until.min(Instant::now() + LOOK)) => {}
        }
        if Instant::now() >= until {
            return None;
        }
        if let Some(ended) = granted.not_so().await {
            return Some(ended);
        }
    }
}
