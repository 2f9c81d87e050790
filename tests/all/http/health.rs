//! Whether it is there, what it can be asked, and how it begins and ends.

use super::{BOTH, Kind, Site, send};
use crate::victim::block_on;

#[test]
fn a_server_says_that_it_is_there_and_what_it_can_be_asked() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            assert_eq!(site.get("/health/live").await.is(200).json()["status"], "live");
            assert_eq!(site.get("/health/ready").await.is(200).json()["status"], "ready");
            let document = site.get("/api/openapi.json").await.is(200).json();
            assert_eq!(document["openapi"], "3.1.0");
            assert!(document["paths"]["/api/streams"]["get"].is_object());
        });
    }
}

#[test]
fn what_is_no_route_or_no_method_of_one_is_told_as_a_problem() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        site.get("/api/nothing").await.problem(404, "not-found");
        let refused = send(site.request("PUT", "/api/streams")).await;
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
        refused.problem(405, "method-not-allowed");
        let wrong = site.get("/api/streams?limit=0&what=1").await.problem(400, "malformed");
        assert_eq!(wrong["invalid"].as_object().unwrap().len(), 2);
        let packed = site.request("POST", "/api/streams").header("Content-Encoding", "gzip");
        send(packed).await.problem(415, "unsupported-media-type");
    });
}

#[test]
fn an_answer_says_what_the_request_belongs_to() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let given = site.request("GET", "/api/streams").header("FlightDeck-Correlation-Id", "a-1");
        assert_eq!(send(given).await.header("flightdeck-correlation-id"), Some("a-1"));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let traced = site
            .request("GET", "/api/streams")
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
        assert_eq!(send(traced).await.header("flightdeck-correlation-id"), Some(trace));
        let made = site.get("/api/streams").await;
        assert!(made.header("flightdeck-correlation-id").is_some_and(|id| id.len() == 36));
        let wrong = site.request("GET", "/api/streams").header("FlightDeck-Correlation-Id", "a b");
        send(wrong).await.problem(400, "malformed");
    });
}

#[test]
fn a_server_that_is_told_to_stop_ends_well() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async { site.get("/health/live").await.is(200) });
        let (code, said) = site.stop();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("ready after"), "{said}");
    }
}
