//! What visitors did, counted and listed over HTTP. (B5, B9)

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};

use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

/// A visitor that does all of that; its id, and up to where the log has to be read to see it.
async fn visits(site: &Site, facts: &Value) -> (String, String) {
    let told = site.post("/api/events", facts).await.is(202);
    let set = told.headers.get(SET_COOKIE).unwrap().to_str().unwrap().to_owned();
    let cookie = set.split(';').next().unwrap().to_owned();
    let current =
        send(site.request("GET", "/api/stream/current").header(COOKIE, cookie)).await.is(200).json();
    let id = current["streamId"].as_str().unwrap().strip_prefix("visitor-").unwrap().to_owned();
    (id, told.header("flightdeck-position").unwrap().to_owned())
}

/// What is answered once the view has come to that position.
async fn at(site: &Site, path: &str, position: &str) -> Answer {
    send(site.request("GET", path).header("FlightDeck-Min-Position", position)).await
}

fn view(page: &str) -> Value {
    json!({ "type": "PageViewed", "pageId": page, "title": format!("The page {page}") })
}

fn click() -> Value {
    json!({ "type": "ButtonClicked", "buttonId": "buy", "pageId": "/b" })
}

#[test]
fn the_site_is_counted_whole_and_by_hour_day_week_and_month() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            visits(&site, &json!([view("/a"), view("/b"), click()])).await;
            let (_, position) =
                visits(&site, &json!([view("/a"), { "type": "FormSubmitted", "formId": "order" }])).await;
            let counts = json!({ "views": 3, "clicks": 1, "forms": 1, "facts": 5, "visitors": 2, "visitorsExact": true });
            for grain in ["hour", "day", "week", "month"] {
                let told =
                    at(&site, &format!("/api/analytics/site?grain={grain}"), &position).await.is(200).json();
                assert_eq!(told["totals"], counts);
                assert_eq!((&told["grain"], &told["zone"]), (&json!(grain), &json!("UTC")));
                let series = told["series"].as_array().unwrap();
                assert!((12..=32).contains(&series.len()), "{grain}: {}", series.len());
                // The last one is the one that we are in; should the hour have changed meanwhile, the one before has a part of it.
                let facts = |bucket: &Value| bucket["counts"]["facts"].as_i64().unwrap();
                let last: i64 = series.iter().rev().take(2).map(facts).sum();
                assert_eq!(last, 5, "{grain}");
                for pair in series.windows(2) {
                    assert_eq!(pair[0]["end"], pair[1]["start"]);
                }
            }
        });
    }
}

#[test]
fn a_series_has_the_days_of_a_zone_and_refuses_what_is_none() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        // The day on which clocks went forward has 23 hours.
        let path = "/api/analytics/site?from=2026-03-28T23:00:00Z&to=2026-03-30T22:00:00Z&zone=Europe/Berlin";
        let told = site.get(path).await.is(200).json();
        assert_eq!(told["zone"], "Europe/Berlin");
        let days = told["series"].as_array().unwrap();
        assert_eq!(days.len(), 2);
        assert_eq!(days[0]["start"], "2026-03-28T23:00:00.000000Z");
        assert_eq!(days[0]["end"], "2026-03-29T22:00:00.000000Z");
        let refused = async |query: &str| site.get(&format!("/api/analytics/site?{query}")).await;
        let wrong = refused("zone=Mars/Olympus&grain=decade&from=yesterday").await.problem(400, "malformed");
        assert_eq!(wrong["invalid"].as_object().unwrap().len(), 3, "{wrong}");
        refused("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").await.problem(400, "malformed");
        refused("from=1990-01-01T00:00:00Z&grain=hour").await.problem(422, "too-much");
    });
}

#[test]
fn visitors_and_pages_are_listed_in_an_order_page_by_page() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let (busy, _) = visits(&site, &json!([view("/a"), view("/b"), click(), click()])).await;
            let (calm, _) = visits(&site, &json!([view("/a")])).await;
            let (late, position) = visits(&site, &json!([view("/c"), view("/a")])).await;
            let listed = async |sort: &str| {
                let mut ids = Vec::new();
                let mut path = format!("/api/analytics/visitors?limit=1{sort}");
                loop {
                    let page = at(&site, &path, &position).await.is(200);
                    let told = page.json();
                    ids.extend(
                        told["items"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|item| item["visitorId"].as_str().unwrap().to_owned()),
                    );
                    let Some(next) = told["next"].as_str() else { return ids };
                    assert!(page.header("link").unwrap().contains(next));
                    assert!(ids.len() < 10);
                    path = format!("/api/analytics/visitors?limit=1{sort}&after={next}");
                }
            };
            assert_eq!(listed("").await, [busy.clone(), late.clone(), calm.clone()]);
            assert_eq!(listed("&sort=active").await, [busy.clone(), late.clone(), calm.clone()]);
            assert_eq!(listed("&sort=recent").await, [late.clone(), calm.clone(), busy.clone()]);
            let views = listed("&sort=views").await;
            assert_eq!(views[2], calm);

            let pages = at(&site, "/api/analytics/pages", &position).await.is(200).json();
            let first = &pages["items"][0];
            assert_eq!((&first["pageId"], &first["title"]), (&json!("/a"), &json!("The page /a")));
            let counts = json!({ "views": 3, "clicks": 0, "forms": 0, "facts": 3, "visitors": 3, "visitorsExact": true });
            assert_eq!(first["counts"], counts);
            let active =
                at(&site, "/api/analytics/pages?sort=active&limit=2", &position).await.is(200).json();
            assert_eq!(active["items"].as_array().unwrap().len(), 2);
            assert!(active["next"].is_string());
            for wrong in ["sort=best", "limit=0", "after=x"] {
                site.get(&format!("/api/analytics/pages?{wrong}")).await.problem(400, "malformed");
            }
        });
    }
}

#[test]
fn one_visitor_is_told_of_in_all_by_page_by_session_and_one_by_one() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let (id, position) = visits(&site, &json!([view("/a"), view("/b"), click()])).await;
            let path = format!("/api/analytics/visitors/{id}");
            let told = at(&site, &path, &position).await.is(200).json();
            let activity = &told["activity"];
            assert_eq!(
                (&activity["facts"], &activity["views"], &activity["pages"]),
                (&json!(3), &json!(2), &json!(2))
            );
            let pages: Vec<&Value> =
                told["pages"]["items"].as_array().unwrap().iter().map(|page| &page["pageId"]).collect();
            assert_eq!(pages, ["/a", "/b"]);
            let session = &told["sessions"]["items"][0];
            assert_eq!(
                (&session["entryPage"], &session["exitPage"], &session["facts"]),
                (&json!("/a"), &json!("/b"), &json!(3))
            );
            let kinds = |told: &Value| -> Vec<String> {
                let items = told["timeline"]["items"].as_array().unwrap();
                items.iter().map(|item| item["eventType"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(kinds(&told), ["ButtonClicked", "PageViewed", "PageViewed"]);
            // Each part goes on by itself.
            let first = at(&site, &format!("{path}?limit=1"), &position).await.is(200).json();
            assert_eq!(kinds(&first), ["ButtonClicked"]);
            let before = &first["timeline"]["next"];
            let rest = site.get(&format!("{path}?timelineBefore={before}")).await.is(200).json();
            assert_eq!(kinds(&rest), ["PageViewed", "PageViewed"]);
            let after = first["pages"]["next"].as_str().unwrap();
            let rest = site.get(&format!("{path}?pagesAfter={after}")).await.is(200).json();
            assert_eq!(rest["pages"]["items"][0]["pageId"], "/b");
            site.get("/api/analytics/visitors/nobody").await.problem(404, "not-found");
        });
    }
}

#[test]
fn what_was_counted_is_asked_as_it_was() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let (_, then) = visits(&site, &json!([view("/a"), view("/b"), click()])).await;
            let (_, now) = visits(&site, &json!([view("/a")])).await;
            for (moment, facts, visitors, looks) in
                [(format!("&at={then}"), 3, 1, 1), (String::new(), 4, 2, 2)]
            {
                let ask = async |path: &str| {
                    at(&site, &format!("{path}?limit=9{moment}"), &now).await.is(200).json()
                };
                let site_path = format!("/api/analytics/site?grain=day{moment}");
                assert_eq!(at(&site, &site_path, &now).await.is(200).json()["totals"]["facts"], facts);
                let listed = ask("/api/analytics/visitors").await;
                assert_eq!(listed["items"].as_array().unwrap().len(), visitors);
                let pages = ask("/api/analytics/pages").await;
                let page = pages["items"].as_array().unwrap().iter().find(|page| page["pageId"] == "/a");
                assert_eq!(page.unwrap()["counts"]["views"], looks);
            }
        });
    }
}
