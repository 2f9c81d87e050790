//! A projection of one's own, whole: how often each page was seen, and when last. Run it with `cargo run --example page_views`.

use std::{error::Error, sync::Arc, time::Duration};

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_projections::{Projection, Reads, Runner};
use flightdeck_store::view::{FoldError, Key, Kind, Rows, Table, ViewName, ViewQuery, ViewStore};
use flightdeck_store::{Append, EventStore, NewEvent, Recorded};
use flightdeck_store_sqlite::{Options, SqliteStore};

struct PageViews;

fn page(event: &Recorded) -> Result<String, FoldError> {
    let data: serde_json::Value = serde_json::from_slice(event.data_bytes())?;
    data["page"].as_str().map(str::to_owned).ok_or_else(|| FoldError::new("a view of no page"))
}

impl Projection for PageViews {
    fn name(&self) -> &'static str {
        "page_views"
    }
    fn reads(&self) -> Reads {
        Reads::types(["PageViewed"])
    }
    fn tables(&self) -> Vec<Table> {
        let table = Table::named("page_views").key("page", Kind::Text);
        vec![table.column("views", Kind::Integer).column("last", Kind::Time)]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of("page_views", page(event)?)])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let page = page(event)?;
        let views = rows.get("page_views", page.as_str()).and_then(|row| row.integer("views")).unwrap_or(0);
        rows.put("page_views", [page.into(), (views + 1).into(), event.recorded_at.into()])
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("site.db"), Options::default())?);
    let running = Runner::new(store.clone(), store.clone()).projection(PageViews).start().await?;
    for page in ["/", "/pricing", "/"] {
        let data = Json::new(format!("{{\"page\":\"{page}\"}}"), 1024)?;
        let event = NewEvent::new(StreamId::new("visitor-1")?, EventType::new("PageViewed")?, data);
        store.append(Append::of([event])).await?;
    }
    let view = ViewName::new("page_views")?;
    running.watcher().wait_for(&view, 1, store.head().await?.cursor, Duration::from_secs(5)).await?;
    for row in store.ask(&ViewQuery::of(view, 1, "page_views").sorted("views", true)).await?.rows {
        println!("{} {}", row.text("page").unwrap_or_default(), row.integer("views").unwrap_or_default());
    }
    running.stop().await;
    store.close().await;
    Ok(())
}
