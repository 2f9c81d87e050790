//! A first append: two events in one go, a conflict as a value, and a repetition that does nothing twice.

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_store::{Append, AppendError, EventStore as _, Expected, NewEvent, RequestKey, StreamQuery};
use flightdeck_store_sqlite::{Options, SqliteStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("shop.db"), Options::default())?;
    let order = StreamId::new("order-7")?;
    let event = |name: &str, data: &'static str| -> Result<NewEvent, Box<dyn std::error::Error>> {
        Ok(NewEvent::new(order.clone(), EventType::new(name)?, Json::new(data, 1024)?))
    };

    // Both or none, and only if there is no such order yet. When this returns, they are on the disk.
    let placed = Append::of([event("Placed", r#"{"item":"lamp"}"#)?, event("Paid", r#"{"cents":4900}"#)?])
        .expecting(order.clone(), Expected::NoStream)
        .with_request(RequestKey::new("checkout", "cart-81", [7; 32])?);
    let done = store.append(placed.clone()).await?;
    println!("stored up to {}, and the order is at version {:?}", done.cursor, done.version_of(&order));

    // The same request again, as a client would after a time-out: the first outcome, and nothing new.
    let again = store.append(placed).await?;
    assert!(again.duplicate && again.range == done.range);

    // Someone who thinks that the order is new is told what it is.
    let late = Append::of([event("Placed", "{}")?]).expecting(order.clone(), Expected::NoStream);
    match store.append(late).await {
        Err(AppendError::Conflict(conflict)) => println!("refused: {conflict}"),
        other => panic!("not a conflict: {other:?}"),
    }

    for event in store.read_stream(&StreamQuery::of(order)).await?.events {
        println!("{} {} {}", event.version, event.event_type, String::from_utf8_lossy(event.data_bytes()));
    }
    store.close().await;
    Ok(())
}
