//! The desk: where commands to our aggregates are handled, each kind with the policy that its streams want.

use std::sync::Arc;

use flightdeck_analytics::visitor::{self, Visitor};
use flightdeck_domain::content::{self, Content};
use flightdeck_domain::presentation::{self, Presentation};
use flightdeck_domain::token::Token;
use flightdeck_domain::user::{self, User};
use flightdeck_store::{EventStore, Handler};

/// The handlers of all aggregates, on one store.
///
/// ```
/// use std::sync::Arc;
/// use flightdeck_core::{Json, Metadata, Reference};
/// use flightdeck_domain::{ContentId, content};
/// use flightdeck_server::Desk;
/// use flightdeck_store::{Context, HandleError, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let desk = Desk::new(Arc::new(MemoryStore::new()));
/// let create = |id: &str| -> Result<_, Box<dyn std::error::Error>> {
///     let body = Json::new("{\"title\":\"Hello\",\"content\":\"Hello\",\"author\":\"Ada\",\"slug\":\"hello\"}", 1024)?;
///     let id = ContentId::new(id)?;
///     Ok((id.stream("content")?, content::Command::Create(content::Create::read(id, &body, None)?)))
/// };
/// let context = Context {
///     metadata: Metadata { actor: Some(Reference::new("ada")?), ..Metadata::default() },
///     ..Context::default()
/// };
///
/// let (stream, command) = create("1")?;
/// desk.contents.handle(&stream, command, &context).await?;
/// // Who wants the same slug hears who has it.
/// let (stream, command) = create("2")?;
/// let refused = desk.contents.handle(&stream, command, &context).await.unwrap_err();
/// let HandleError::Refused(content::Error::SlugTaken { by, .. }) = refused else { panic!("{refused}") };
/// assert_eq!(by.as_str(), "1");
/// # Ok(())
/// # }
/// ```
pub struct Desk {
    /// Contents: some are changed for years.
    pub contents: Handler<Content>,
    /// Presentations: long ones are folded from a snapshot on.
    pub presentations: Handler<Presentation>,
    /// Users: every time they log in is an event.
    pub users: Handler<User>,
    /// Tokens: two events each.
    pub tokens: Handler<Token>,
    /// Visitors: their streams grow, and what they consented to may lie far back. What may not be stored leaves no trace: no request
    /// key is remembered of it either.
    pub visitors: Handler<Visitor>,
    /// What visitors answer when they are asked: on the same streams, and a repetition that comes late turns nothing around.
    pub consents: Handler<Visitor>,
}

impl Desk {
    /// A desk on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        let contents = Handler::new(Arc::clone(&store));
        let presentations = Handler::new(Arc::clone(&store));
        let users = Handler::new(Arc::clone(&store));
        let tokens = Handler::new(Arc::clone(&store));
        let of_visitors = |store| {
            Handler::<Visitor>::new(store).snapshots(visitor::SNAPSHOT_EVENTS, visitor::SNAPSHOT_SCHEMA)
        };
        let (consents, visitors) = (of_visitors(Arc::clone(&store)), of_visitors(store));
        Self {
            contents: contents.snapshots(content::SNAPSHOT_EVENTS, content::SNAPSHOT_SCHEMA),
            presentations: presentations
                .snapshots(presentation::SNAPSHOT_EVENTS, presentation::SNAPSHOT_SCHEMA),
            users: users.snapshots(user::SNAPSHOT_EVENTS, user::SNAPSHOT_SCHEMA),
            tokens,
            visitors: visitors.forgetting_nothing_done(),
            consents,
        }
    }
}
