//! Our aggregates on every store: rules across streams under races and load, repetitions, old shapes, snapshots.

mod load;
mod races;
mod repeats;
mod shapes;

use std::sync::Arc;

use flightdeck_core::{Json, StreamId};
use flightdeck_domain::user::{Register, Role};
use flightdeck_domain::{ContentId, PresentationId, UserId, content, presentation, user};
use flightdeck_server::Desk;
use flightdeck_store::{Context, EventStore, HandleError, MemoryStore};
use flightdeck_store_sqlite::{Options, SqliteStore};

use crate::postgres::Place;

/// A store that two nodes are open on: on PostgreSQL really two, elsewhere two hands on the one there is.
struct Ground {
    name: &'static str,
    nodes: [Arc<dyn EventStore>; 2],
    _folder: Option<tempfile::TempDir>,
}

/// Runs a test on every store.
#[expect(clippy::needless_pass_by_value, reason = "a test is written down where it is run")]
fn on_every_store(test: impl AsyncFn(&Ground)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let memory: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        test(&Ground { name: "memory", nodes: [Arc::clone(&memory), memory], _folder: None }).await;
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(folder.path().join("store.db"), Options::default()).unwrap();
        let sqlite: Arc<dyn EventStore> = Arc::new(sqlite);
        test(&Ground { name: "sqlite", nodes: [Arc::clone(&sqlite), sqlite], _folder: Some(folder) }).await;
        let place = Place::new();
        let nodes: [Arc<dyn EventStore>; 2] = [Arc::new(place.open().await), Arc::new(place.open().await)];
        test(&Ground { name: "postgres", nodes, _folder: None }).await;
    });
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), 1 << 20).unwrap()
}

fn content_id(id: &str) -> ContentId {
    ContentId::new(id).unwrap()
}

fn content_stream(id: &str) -> StreamId {
    content_id(id).stream("content").unwrap()
}

fn user_stream(id: &str) -> StreamId {
    UserId::new(id).unwrap().stream("user").unwrap()
}

fn presentation_stream(id: &str) -> StreamId {
    PresentationId::new(id).unwrap().stream("presentation").unwrap()
}

/// A content with that slug.
pub(crate) fn create(id: &str, slug: &str) -> content::Command {
    let body = format!(r#"{{"title":"T","slug":"{slug}","content":"C","author":"A"}}"#);
    content::Command::Create(content::Create::read(content_id(id), &json(&body), None).unwrap())
}

fn change(id: &str, patch: &str) -> content::Command {
    content::Command::Change(content::Change::read(content_id(id), &json(patch)).unwrap())
}

fn register(id: &str, email: &str) -> user::Command {
    let body = format!(r#"{{"email":"{email}","displayName":"N"}}"#);
    user::Command::Register(Register::read(UserId::new(id).unwrap(), &json(&body)).unwrap())
}

fn becomes(role: Role) -> user::Command {
    user::Command::ChangeRole(user::ChangeRole { role, admins: Default::default() })
}

fn text_slide(id: &str) -> presentation::Command {
    let body = format!(r#"{{"content":{{"type":"text","text":"{id}"}}}}"#);
    let id = flightdeck_domain::SlideId::new(id).unwrap();
    presentation::Command::AddSlide(presentation::AddSlide::read(id, &json(&body)).unwrap())
}

pub(crate) type Done<S, E> = Result<flightdeck_store::Handled<S>, HandleError<E>>;

/// Hands a command to a content, with nothing beside it.
pub(crate) async fn ask(
    desk: &Desk,
    id: &str,
    command: content::Command,
) -> Done<content::State, content::Error> {
    desk.contents.handle(&content_stream(id), command, &Context::default()).await
}

/// Hands a command to a user, with nothing beside it.
async fn ask_user(desk: &Desk, id: &str, command: user::Command) -> Done<user::State, user::Error> {
    desk.users.handle(&user_stream(id), command, &Context::default()).await
}
