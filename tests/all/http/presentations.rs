//! Presentations and their slides over HTTP: their whole life, repetitions, and what they were.

use serde_json::{Value, json};

use super::things::{Document, all_of, ask, ask_if, ask_once, fifty_times, get_behind, same};
use super::{BOTH, Site, send};
use crate::victim::block_on;

const ONE: &str = "/api/presentations/{id}";
const SLIDES: &str = "/api/presentations/{id}/slides";
const SLIDE: &str = "/api/presentations/{id}/slides/{slideId}";

fn text(title: &str) -> Value {
    json!({"title": title, "content": {"type": "text", "text": format!("About {title}")}})
}

async fn made(site: &Site, title: &str) -> String {
    let answer =
        ask(site, "POST", "/api/presentations", &json!({"title": title, "author": "Ada"})).await.is(201);
    answer.header("location").unwrap().to_owned()
}

/// The titles of the slides, each at its place.
async fn titles(site: &Site, path: &str) -> Vec<String> {
    let told = site.get(path).await.is(200).json();
    let slides = told["slides"].as_array().unwrap();
    assert_eq!(told["slideCount"], slides.len());
    for (place, slide) in slides.iter().enumerate() {
        assert_eq!(slide["order"], place + 1);
    }
    slides.iter().map(|slide| slide["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_presentation_lives_with_its_slides_and_its_history_stays() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let body = json!({"title": "Talk", "author": "Ada", "description": "About it"});
            let answer = document.holds(
                "POST",
                "/api/presentations",
                ask(&site, "POST", "/api/presentations", &body).await.is(201),
            );
            let path = answer.header("location").unwrap().to_owned();
            let told = answer.json();
            assert_eq!(
                (&told["theme"], &told["isPublic"], &told["slides"]),
                (&json!("default"), &json!(false), &json!([]))
            );
            assert_eq!(document.holds("GET", ONE, site.get(&path).await.is(200)).json(), told);

            let slides = format!("{path}/slides");
            let mut places = Vec::new();
            for (title, order) in [("one", None), ("three", None), ("two", Some(2)), ("four", Some(99))] {
                let mut body = text(title);
                if let Some(order) = order {
                    body["order"] = json!(order);
                }
                let added = document.holds("POST", SLIDES, ask(&site, "POST", &slides, &body).await.is(201));
                let place = added.header("location").unwrap().to_owned();
                assert_eq!(place, format!("{slides}/{}", added.json()["id"].as_str().unwrap()));
                assert_eq!(document.holds("GET", SLIDE, site.get(&place).await.is(200)).json(), added.json());
                places.push(place);
            }
            assert_eq!(titles(&site, &path).await, ["one", "two", "three", "four"]);
            assert_eq!(site.get(&path).await.header("etag"), Some("\"5\""));
            document.holds("GET", SLIDES, site.get(&slides).await.is(200));
            let listed = all_of(&site, &slides, 3).await;
            assert_eq!(json!(listed), site.get(&path).await.json()["slides"]);

            change_slides(&site, &document, &path, &places).await;

            let patch = json!({"description": null, "isPublic": true, "theme": "dark"});
            let changed =
                document.holds("PATCH", ONE, ask(&site, "PATCH", &path, &patch).await.is(200)).json();
            assert_eq!((changed.get("description"), &changed["isPublic"]), (None, &json!(true)));
            check_the_past(&site, &document, &path, &places).await;
            document.holds("DELETE", ONE, ask(&site, "DELETE", &path, &Value::Null).await.is(204));
            for (method, path, body) in [
                ("GET", path.as_str(), Value::Null),
                ("GET", slides.as_str(), Value::Null),
                ("GET", places[0].as_str(), Value::Null),
                ("POST", slides.as_str(), text("late")),
                ("PATCH", path.as_str(), json!({"title": "late"})),
            ] {
                ask(&site, method, path, &body).await.problem(410, "deleted");
            }
            assert_eq!(all_of(&site, &format!("{path}/history"), 4).await.len(), 12);
            site.get("/api/presentations/never/slides/x").await.problem(404, "not-found");
            ask(&site, "POST", "/api/presentations/never/slides", &text("x")).await.problem(404, "not-found");
        });
    }
}

async fn change_slides(site: &Site, document: &Document, path: &str, places: &[String]) {
    // The kind changes; what it needs must be there, and what it can't have must not.
    let wrong = ask(site, "PATCH", &places[0], &json!({"content": {"type": "code", "url": "/x.png"}})).await;
    let told = document.holds("PATCH", SLIDE, wrong).problem(400, "malformed");
    assert_eq!(
        (&told["missing"], told["invalid"]["content.url"].is_string()),
        (&json!(["content.language"]), true)
    );
    let patch = json!({"content": {"type": "code", "language": "rust"}, "notes": "Slowly"});
    let changed = document.holds("PATCH", SLIDE, ask(site, "PATCH", &places[0], &patch).await.is(200)).json();
    assert_eq!(changed["content"], json!({"type": "code", "language": "rust", "text": "About one"}));
    let cleared = ask(site, "PATCH", &places[0], &json!({"notes": null})).await.is(200).json();
    assert_eq!(cleared.get("notes"), None);

    let moved = ask(site, "PUT", &format!("{}/order", places[0]), &json!({"order": 3})).await.is(200);
    let moved = document.holds("PUT", "/api/presentations/{id}/slides/{slideId}/order", moved);
    assert_eq!(moved.json()["order"], 3);
    assert_eq!(titles(site, path).await, ["two", "three", "one", "four"]);
    let ids: Vec<&str> = places.iter().map(|place| place.rsplit('/').next().unwrap()).collect();
    let (order, operation) = (format!("{path}/slides/order"), "/api/presentations/{id}/slides/order");
    let refused = ask(site, "PUT", &order, &json!({"slideIds": [ids[0]]})).await;
    document.holds("PUT", operation, refused).problem(422, "refused");
    let wrong = ask(site, "PUT", &order, &json!({"slideIds": [ids[0], "a b"], "x": 1}))
        .await
        .problem(400, "malformed");
    assert_eq!(wrong["invalid"].as_object().unwrap().len(), 2);
    let ordered =
        ask(site, "PUT", &order, &json!({"slideIds": [ids[3], ids[0], ids[1], ids[2]]})).await.is(200);
    assert_eq!(document.holds("PUT", operation, ordered).json()["version"], 9);
    assert_eq!(titles(site, path).await, ["four", "one", "three", "two"]);

    ask_if(site, "DELETE", &places[1], &Value::Null, 8).await.problem(412, "precondition-failed");
    document.holds("DELETE", SLIDE, ask_if(site, "DELETE", &places[1], &Value::Null, 9).await.is(204));
    assert_eq!(titles(site, path).await, ["four", "one", "two"]);
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({"title": "x"})), ("DELETE", Value::Null)] {
        document.holds(method, SLIDE, ask(site, method, &places[1], &body).await).problem(410, "deleted");
        let never = format!("{path}/slides/never");
        document.holds(method, SLIDE, ask(site, method, &never, &body).await).problem(404, "not-found");
    }
}

async fn check_the_past(site: &Site, document: &Document, path: &str, places: &[String]) {
    let then = document.holds("GET", ONE, site.get(&format!("{path}?at=v3")).await.is(200));
    assert_eq!((then.json()["slideCount"].as_i64(), then.header("etag")), (Some(2), Some("\"3\"")));
    let slide = site.get(&format!("{}?at=v9", places[1])).await.is(200);
    assert_eq!((slide.json()["order"].as_i64(), slide.header("etag")), (Some(3), Some("\"9\"")));
    site.get(&format!("{}?at=v1", places[1])).await.problem(404, "not-found");
    let then = document.holds("GET", SLIDES, site.get(&format!("{path}/slides?at=v5")).await.is(200)).json();
    assert_eq!(then["items"].as_array().unwrap().len(), 4);

    let history = site.get(&format!("{path}/history")).await.is(200);
    let history = document.holds("GET", "/api/presentations/{id}/history", history).json();
    assert_eq!(history["items"][3]["slides"][0]["placeAfter"], 2);
    let diff = site.get(&format!("{path}/diff?from=v5&to=v11")).await.is(200);
    let diff = document.holds("GET", "/api/presentations/{id}/diff", diff).json();
    let became: Vec<&str> =
        diff["slides"].as_array().unwrap().iter().map(|slide| slide["what"].as_str().unwrap()).collect();
    assert_eq!(became, ["changed", "removed"]);
    let fields: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["description", "theme", "isPublic", "slideIds"]);
}

#[test]
fn one_key_makes_one_presentation_and_one_slide_however_often_it_is_sent_at_once() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let body = json!({"title": "Once", "author": "Ada"});
            let made = fifty_times(&site, "POST", "/api/presentations", &body, "make").await.is(201);
            let path = made.header("location").unwrap().to_owned();
            let slides = format!("{path}/slides");
            let added = fifty_times(&site, "POST", &slides, &text("one"), "slide").await.is(201);
            let place = added.header("location").unwrap().to_owned();
            assert_eq!(titles(&site, &path).await, ["one"]);
            let changed =
                fifty_times(&site, "PATCH", &place, &json!({"title": "uno"}), "change").await.is(200);
            ask(
                &site,
                "POST",
                &slides,
                &json!({"title": "zero", "content": {"type": "text", "text": "x"}, "order": 1}),
            )
            .await
            .is(201);
            fifty_times(&site, "PUT", &format!("{place}/order"), &json!({"order": 1}), "move").await.is(200);
            assert_eq!(titles(&site, &path).await, ["uno", "zero"]);
            fifty_times(&site, "DELETE", &place, &Value::Null, "remove").await.is(204);
            assert_eq!(titles(&site, &path).await, ["zero"]);
            // Whatever has become of the slide since.
            let again = ask_once(&site, "POST", &slides, &text("one"), "slide").await;
            assert_eq!((again.header("flightdeck-duplicate"), same(&again)), (Some("true"), same(&added)));
            let again = ask_once(&site, "PATCH", &place, &json!({"title": "uno"}), "change").await;
            assert_eq!(same(&again), same(&changed));
            assert_eq!(site.get(&path).await.header("etag"), Some("\"6\""));
        });
    }
}

#[test]
fn presentations_are_listed_without_their_slides_now_and_as_of_a_moment() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let (first, second) = (made(&site, "Winter").await, made(&site, "Summer").await);
            let added = ask(&site, "POST", &format!("{first}/slides"), &text("one")).await.is(201);
            let then = get_behind(&site, "/api/presentations", &added).await.is(200);
            let then = document.holds("GET", "/api/presentations", then).json();
            let titles = |told: &Value| -> Vec<String> {
                let items = told["items"].as_array().unwrap();
                items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(titles(&then), ["Winter", "Summer"]);
            assert_eq!((&then["items"][0]["slideCount"], then["items"][0].get("slides")), (&json!(1), None));
            assert_eq!(then["items"][0]["updatedAt"], site.get(&first).await.json()["updatedAt"]);
            let changed =
                ask(&site, "PATCH", &second, &json!({"isPublic": true, "author": "Ida"})).await.is(200);
            for (query, expected) in [
                ("?isPublic=true", &["Summer"][..]),
                ("?isPublic=false", &["Winter"]),
                ("?author=Ida", &["Summer"]),
                ("?sort=updatedAt", &["Winter", "Summer"]),
                ("?sort=-updatedAt", &["Summer", "Winter"]),
            ] {
                let told =
                    get_behind(&site, &format!("/api/presentations{query}"), &changed).await.is(200).json();
                assert_eq!(titles(&told), expected, "{kind:?} {query}");
            }
            site.until("/api/presentations?q=wint*", |answer| titles(&answer.json()) == ["Winter"]).await;
            let at = added.header("flightdeck-position").unwrap();
            assert_eq!(site.get(&format!("/api/presentations?at={at}")).await.is(200).json(), then);
            site.get("/api/presentations?isPublic=perhaps").await.problem(400, "malformed");
            send(site.request("PUT", &first)).await.problem(405, "method-not-allowed");
        });
    }
}
