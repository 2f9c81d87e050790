//! How a node hears of what others append: one connection that listens, and a look at the head every now and then.
//!
//! A notification is a hint and nothing else: it wakes whoever waits, who then reads the log. Whatever was notified
//! while the connection was down is lost, so a new connection listens *first* and reads the head *then*: what comes
//! between the two is in the head, and what comes later is notified.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::Cursor;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Error};

use crate::connection::{Readers, Target, Wire};
use crate::fault;
use crate::history::History;

/// The longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The listening task.
pub(crate) struct Listener {
    pub(crate) target: Target,
    pub(crate) settings: String,
    pub(crate) channel: String,
    pub(crate) history: Arc<History>,
    pub(crate) connect_wait: Duration,
}

/// A connection that listens. It ends when its wire does.
struct Line {
    _client: Client,
    wire: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.wire.abort();
    }
}

impl Listener {
    /// Listens for ever, on one connection after the other.
    pub(crate) async fn run(self) {
        let mut pause = Duration::from_millis(20);
        loop {
            match timeout(self.connect_wait, self.connect()).await {
                Ok(Ok(mut line)) => {
                    pause = Duration::from_millis(20);
                    drop((&mut line.wire).await);
                    tracing::warn!("the connection that listens was lost");
                }
                Ok(Err(error)) => tracing::warn!(%error, "no connection to listen on"),
                Err(late) => tracing::warn!(error = %late, "no connection to listen on"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect(&self) -> Result<Line, Error> {
        let (client, wire) = self.target.connect().await?;
        let wire = tokio::spawn(hear(wire, Arc::clone(&self.history), None));
        let line = Line { _client: client, wire };
        line._client.batch_execute(&self.settings).await?;
        if fault::head_before_listen() {
            self.history.check(&line._client).await?;
            sleep(Duration::from_millis(500)).await;
            line._client.batch_execute(&format!("LISTEN \"{}\"", self.channel)).await?;
            return Ok(line);
        }
        line._client.batch_execute(&format!("LISTEN \"{}\"", self.channel)).await?;
        self.history.check(&line._client).await?;
        Ok(line)
    }

    /// Whether a notification that is sent on `other` arrives on a connection of this listener's. One that goes through a
    /// pool which hands connections out by the transaction takes the LISTEN without a word, and hears nothing.
    pub(crate) async fn hears(&self, other: &Client, nonce: u128) -> Result<bool, Error> {
        let channel = format!("fd_test_{nonce:032x}");
        let (client, wire) = self.target.connect().await?;
        let (heard, hears) = oneshot::channel();
        let wire = tokio::spawn(hear(wire, Arc::clone(&self.history), Some((channel.clone(), heard))));
        let line = Line { _client: client, wire };
        line._client.batch_execute(&format!("LISTEN \"{channel}\"")).await?;
        other.execute("SELECT pg_notify($1, '')", &[&channel]).await?;
        Ok(timeout(self.connect_wait.min(Duration::from_secs(2)), hears)
            .await
            .is_ok_and(|heard| heard.is_ok()))
    }
}

/// Hears what comes over a wire until it ends: hints, and perhaps one word on a channel that is being tested.
async fn hear(mut wire: Wire, history: Arc<History>, mut test: Option<(String, oneshot::Sender<()>)>) {
    let mut messages = poll_fn(move |context| wire.poll_message(context));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notification(note)) => {
                if let Some((_, heard)) = test.take_if(|(channel, _)| channel == note.channel()) {
                    // Whoever tested may have given up.
                    let _gone = heard.send(());
                } else if let Ok(cursor) = note.payload().parse::<Cursor>() {
                    history.hint(&cursor);
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the connection that listens has ended");
                return;
            }
        }
    }
}

/// Looks at the head every now and then, for whatever no notification told of.
pub(crate) async fn poll(readers: Arc<Readers>, history: Arc<History>, every: Duration) {
    loop {
        sleep(every).await;
        let Ok(session) = readers.session().await else { continue };
        let head = session.query("SELECT epoch, position, hash FROM fd_head", &[]).await;
        match head.as_ref().map(|rows| rows.first().map(|row| history.take(row))) {
            Ok(Some(Ok(()))) => {}
            other => tracing::debug!(?other, "the head could not be looked at"),
        }
    }
}
