//! A server with an aggregate of one's own, its view and its routes: auctions. Run it with `cargo run -p flightdeck-server --example auction
//! FOLDER`, bid with `POST /api/auctions/vase/bids`, and follow with `GET /api/events?streams=auction-*&follow=true` as NDJSON.

use std::{env, error::Error, net::TcpListener, path::Path, sync::Arc};

use flightdeck_core::{Decider, StoredEvents, StoredType};
use flightdeck_projections::{Projection, Things};
use flightdeck_server::{Operation, Server};
use flightdeck_store::view::Kind;
use flightdeck_store_sqlite::{Options, SqliteStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody bids: the body of the command, and the data of the event.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bid {
    bidder: String,
    cents: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
enum Event {
    BidPlaced(Bid),
}
impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[StoredType::new("BidPlaced")];
}

/// In an auction each bid is higher than the one before; so the state is the highest.
struct Auction;
impl Decider for Auction {
    const CATEGORY: &'static str = "auction";
    type Command = Bid;
    type Event = Event;
    type State = i64;
    type Error = String;

    fn initial() -> i64 {
        0
    }
    fn evolve(_: i64, Event::BidPlaced(bid): &Event) -> i64 {
        bid.cents
    }
    fn decide(highest: &i64, bid: Bid) -> Result<Vec<Event>, String> {
        match bid.cents > *highest {
            true => Ok(vec![Event::BidPlaced(bid)]),
            false => Err(format!("a bid must be higher than {highest} cents")),
        }
    }
}

/// The view: a table `auctions` with who leads in each, and by how much.
fn auctions() -> impl Projection {
    let table =
        Things::<Auction>::named("auctions").column("bidder", Kind::Text).column("cents", Kind::Integer);
    table.folded(|Event::BidPlaced(bid), _| Some(vec![bid.bidder.as_str().into(), bid.cents.into()]))
}

fn routes() -> Vec<Operation> {
    let bid = Operation::command::<Auction>("/api/auctions/{id}/bids", "bid", "Bids in an auction.");
    vec![bid, Operation::rows("/api/auctions", "listAuctions", "Who leads.", "auctions", "auctions")]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let store = Arc::new(SqliteStore::open(Path::new(&folder).join("auctions.db"), Options::default())?);
    let server = Server::new(store.clone(), store.clone()).decider::<Auction>()?.projection(auctions());
    let running = server.operations(routes).listen(TcpListener::bind("127.0.0.1:0")?).start().await?;
    println!("auctions ready on http://{}", running.addresses()[0]);
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    store.close().await;
    Ok(())
}
