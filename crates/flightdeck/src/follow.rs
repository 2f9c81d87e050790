//! `flightdeck tail --url`: the log of a server, event by event, once and in order, however often the connection is lost.
//!
//! All that is kept is a cursor: the last that the server told, with an event that was shown or by itself. Whoever comes again with it gets
//! what is behind it.

use std::io::Write;
use std::time::Duration;

use flightdeck_core::{Cursor, Ids as _};
use flightdeck_store::system::SystemIds;
use flightdeck_wire::problem::Problem;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::away::Asked;
use crate::exit::{Failure, REFUSED};
use crate::eyes::{DIM, plain, styled};
use crate::read::Shown;
use crate::sse::{Event, Item, Reader};

/// What is asked for.
const MEDIA: &str = "text/event-stream";
/// After so long without a byte the connection is dead: the server says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// After how long it comes again when the server has not said it, and at the least and the most whatever it says.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(60);
/// After how long it tries again to reach what can't be reached, at first and at the most.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_MOST: Duration = Duration::from_secs(10);
/// From there on a code says that it is of no use to come again.
const NOT_AGAIN: u32 = 4500;
/// What a problem may have, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// How a connection came to its end.
enum Ended {
    /// There was none, or nobody who could answer.
    Unreached(Failure),
    /// It was there; this is why it is not any more.
    Lost(String),
    /// It is of no use to come again.
    ForGood(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::ForGood(failure)
    }
}

/// What `event: error` says.
#[derive(Deserialize)]
struct SentAway {
    code: u32,
    detail: String,
    /// How far it was.
    at: Option<String>,
}

/// What `event: reset` says.
#[derive(Deserialize)]
struct Reset {
    reason: String,
    earliest: String,
    head: String,
}

struct Following<W> {
    asked: Asked,
    shown: Shown<W>,
    /// Behind which it goes on.
    last: Option<Cursor>,
    /// After how long it comes again.
    retry: Duration,
    /// Whether there was an answer, ever.
    was_there: bool,
    /// How often it was tried in vain since there was one.
    in_vain: u32,
    /// Whether the connection is lost, and that was said.
    is_lost: bool,
}

/// Follows until it is of no use any more.
pub(crate) async fn run(asked: Asked, shown: Shown<impl Write>) -> Result<(), Failure> {
    let (retry, was_there, in_vain, is_lost) = (RETRY, false, 0, false);
    let mut following = Following { asked, shown, last: None, retry, was_there, in_vain, is_lost };
    loop {
        let (why, wait) = match following.once().await {
            Ended::ForGood(failure) => return Err(failure),
            Ended::Unreached(failure) if !following.was_there => return Err(failure),
            Ended::Unreached(failure) => {
                following.in_vain = following.in_vain.saturating_add(1);
                let wait = again_after(following.in_vain, SystemIds::default().random());
                (failure.text().to_owned(), wait)
            }
            Ended::Lost(why) => (why, following.retry),
        };
        following.say_lost(&why);
        sleep(wait).await;
    }
}

/// How long to wait when it was tried so often in vain: longer each time, and not the same for all who lost it together.
fn again_after(in_vain: u32, random: u128) -> Duration {
    let longest = AGAIN_FIRST.saturating_mul(1 << in_vain.saturating_sub(1).min(16)).min(AGAIN_MOST);
    let half = longest / 2;
    let spread = u64::try_from(random % (half.as_millis() + 1)).unwrap_or(0);
    half + Duration::from_millis(spread)
}

impl<W: Write> Following<W> {
    /// Connects, and follows for as long as that lasts.
    async fn once(&mut self) -> Ended {
        let answer = match self.asked.get(MEDIA, self.last.as_ref()).await {
            Ok(answer) => answer,
            Err(failure) => return Ended::Unreached(failure),
        };
        let is_stream = answer.headers().get(CONTENT_TYPE).is_some_and(|media| {
            let media = media.as_bytes();
            media.get(..MEDIA.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(MEDIA.as_bytes()))
        });
        if answer.status() != StatusCode::OK || !is_stream {
            return self.refused(answer).await;
        }
        (self.was_there, self.in_vain) = (true, 0);
        self.hear(answer.into_body()).await
    }

    async fn hear(&mut self, mut body: Incoming) -> Ended {
        let (mut reader, mut items) = (Reader::default(), Vec::new());
        loop {
            let frame = match timeout(SILENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ended::Lost(error.to_string()),
                Ok(None) => return Ended::Lost("the server has closed it".to_owned()),
                Err(_) => return Ended::Lost(format!("nothing was heard for {} s", SILENCE.as_secs())),
            };
            let piece = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
            let read = reader.read(piece, &mut items);
            for item in items.drain(..) {
                if let Err(ended) = self.take(item) {
                    return ended;
                }
            }
            if let Err(wrong) = read {
                return Ended::ForGood(self.no_flightdeck(&wrong.to_string()));
            }
        }
    }

    fn take(&mut self, item: Item) -> Result<(), Ended> {
        let event = match item {
            Item::Retry(wait) => {
                self.retry = wait.clamp(RETRY_LEAST, RETRY_MOST);
                return Ok(());
            }
            Item::Event(event) => event,
        };
        match event.name.as_str() {
            "" | "message" => {
                let at = self.cursor(&event)?;
                if self.is_new(&at) {
                    self.shown.told(&event.data)?;
                    self.come_to(at);
                }
            }
            "caught-up" => {
                let at = self.cursor(&event)?;
                self.shown.caught_up(&at);
                self.come_to(at);
            }
            "checkpoint" => {
                let at = self.cursor(&event)?;
                self.come_to(at);
            }
            "error" => return Err(self.sent_away(&event.data)),
            "reset" => return Err(Ended::ForGood(self.reset(&event.data))),
            // Of a newer server.
            _ => {}
        }
        Ok(())
    }

    /// Where an event is. Without that it could not be gone on behind.
    fn cursor(&self, event: &Event) -> Result<Cursor, Failure> {
        let at = event.id.as_deref().and_then(|id| id.parse().ok());
        at.ok_or_else(|| self.no_flightdeck("an event has no cursor"))
    }

    /// Whether that is ahead of all that was told: what is told twice is shown once.
    fn is_new(&self, at: &Cursor) -> bool {
        let last = self.last.as_ref();
        last.is_none_or(|last| last.epoch() != at.epoch() || last.position() < at.position())
    }

    fn come_to(&mut self, at: Cursor) {
        self.is_lost = false;
        if self.is_new(&at) {
            self.last = Some(at);
        }
    }

    /// Says that the connection is lost: once, until it is there again.
    fn say_lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            let text =
                format!("the connection to {} is lost, coming again: {}", self.asked.place(), plain(why));
            anstream::eprintln!("{}", styled(DIM, &text));
        }
    }

    /// The server has ended it, and said why.
    fn sent_away(&mut self, data: &str) -> Ended {
        let Ok(SentAway { code, detail, at }) = serde_json::from_str(data) else {
            return Ended::Lost("the server has ended it".to_owned());
        };
        if code >= NOT_AGAIN {
            return Ended::ForGood(Failure::new(REFUSED, format!("{detail} ({code})"), self.credential()));
        }
        // It has not come to anything yet: what is new is what comes behind that.
        self.last = self.last.take().or_else(|| at?.parse().ok());
        Ended::Lost(format!("{detail} ({code})"))
    }

    /// The log can't be gone on with from where it is.
    fn reset(&self, data: &str) -> Failure {
        let Ok(Reset { reason, earliest, head }) = serde_json::from_str(data) else {
            return self.no_flightdeck("a reset does not say where the log is");
        };
        let why = match reason.as_str() {
            "epoch" => {
                "the log is not the one that was followed any more: it has begun a new epoch".to_owned()
            }
            "ahead" => "the log has not come to where it was to be followed from".to_owned(),
            reason => format!("the log can't be followed from there ({reason})"),
        };
        let text = format!("{why}; it begins at {earliest}, and its head is {head}");
        let next =
            format!("begin again: --after {} for what comes, or --from-start for all of it", plain(&head));
        Failure::new(REFUSED, text, next)
    }

    /// It was answered, but by no events.
    async fn refused(&self, answer: Response<Incoming>) -> Ended {
        let status = answer.status();
        let location = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let problem = timeout(SILENCE, Limited::new(answer.into_body(), PROBLEM_BYTES_MAX).collect()).await;
        let problem = problem.ok().and_then(Result::ok).map(|body| body.to_bytes());
        let problem = problem.and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
        let detail = problem.map_or_else(|| format!("it answers {status}"), |problem| problem.detail);
        Ended::ForGood(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Failure::new(REFUSED, detail, self.credential())
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Ended::Unreached(self.asked.unreached(&detail));
            }
            status if status.is_server_error() => return Ended::Unreached(self.asked.unreached(&detail)),
            status if status.is_redirection() => {
                let to = location.unwrap_or_else(|| "another place".to_owned());
                let text = format!("{} sends whoever asks to {to}", self.asked.place());
                Failure::new(REFUSED, text, "name that with --url, without /api/events and what follows")
            }
            status if status.is_success() => self.no_flightdeck("its answer has no events"),
            _ => Failure::new(REFUSED, detail, "look at what was asked for, and whether the URL is right"),
        })
    }

    /// What helps who was not granted something.
    const fn credential(&self) -> &'static str {
        match self.asked.shows_token() {
            true => "show a token that is good and may read this: see flightdeck token",
            false => "show a token with FLIGHTDECK_TOKEN; flightdeck token create makes one",
        }
    }

    fn no_flightdeck(&self, why: &str) -> Failure {
        let text = format!("{} does not answer as a FlightDeck does: {why}", self.asked.place());
        Failure::new(REFUSED, text, "look whether the URL is that of a FlightDeck, of this version")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::again_after;

    #[test]
    fn what_can_not_be_reached_is_tried_ever_more_seldom_up_to_ten_seconds() {
        let waits =
            |random: u128| [1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|in_vain| again_after(in_vain, random));
        let millis = |millis: [u64; 8]| millis.map(Duration::from_millis);
        assert_eq!(waits(0), millis([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]));
        let longest = again_after(u32::MAX, 5_000);
        assert_eq!(longest, Duration::from_secs(10));
        assert!((0..20_000).all(|random| again_after(9, random) <= longest));
    }
}
