//! Contents over HTTP: their whole life, races, repetitions, lists, and what they were.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::things::{Document, all_of, ask, ask_if, ask_once, fifty_times, get_behind, same, with};
use super::{BOTH, Kind, Site, send};
use crate::victim::block_on;

fn new(title: &str) -> Value {
    json!({"title": title, "content": format!("# {title}"), "author": "Ada"})
}

/// Makes a content, and says where it is.
async fn made(site: &Site, body: &Value) -> String {
    let answer = ask(site, "POST", "/api/content", body).await.is(201);
    answer.header("location").unwrap().to_owned()
}

#[test]
fn a_content_lives_from_a_draft_to_its_end_and_its_history_stays() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let body = json!({"title": "Hello", "slug": "hello", "content": "Hello world", "author": "Ada", "tags": ["a", "b", "a"]});
            let made = ask(&site, "POST", "/api/content", &body).await.is(201);
            let made = document.holds("POST", "/api/content", made);
            let path = made.header("location").unwrap().to_owned();
            let told = made.json();
            assert_eq!(path, format!("/api/content/{}", told["id"].as_str().unwrap()));
            assert_eq!(told["id"].as_str().unwrap().as_bytes()[14], b'7', "ids rise with time");
            assert_eq!(made.header("etag"), Some("\"1\""));
            assert_eq!(
                (&told["status"], &told["format"], &told["tags"]),
                (&json!("Draft"), &json!("Markdown"), &json!(["a", "b"]))
            );
            assert_eq!((&told["version"], &told["createdAt"]), (&json!(1), &told["updatedAt"]));
            let got = document.holds("GET", "/api/content/{id}", site.get(&path).await.is(200));
            assert_eq!((got.json(), got.header("etag")), (told.clone(), Some("\"1\"")));

            let patch =
                json!({"title": "Hello there", "description": "A greeting", "content": "Hello there, world"});
            let patched = site.request("PATCH", &path).header("Content-Type", "application/merge-patch+json");
            let patched = send(patched.body(patch.to_string())).await.is(200);
            let patched = document.holds("PATCH", "/api/content/{id}", patched);
            assert_eq!(
                (patched.json()["title"].as_str(), patched.header("etag")),
                (Some("Hello there"), Some("\"2\""))
            );
            assert!(patched.json()["updatedAt"].as_str() > told["updatedAt"].as_str());
            // What is so already is no change.
            let same = ask(&site, "PATCH", &path, &patch).await.is(200);
            assert_eq!((same.json(), same.header("etag")), (patched.json(), Some("\"2\"")));
            let cleared =
                ask(&site, "PATCH", &path, &json!({"description": null, "tags": null})).await.is(200).json();
            assert_eq!((cleared.get("description"), &cleared["tags"]), (None, &json!([])));

            let published = ask(&site, "POST", &format!("{path}/publish"), &Value::Null).await.is(200);
            assert_eq!(
                document.holds("POST", "/api/content/{id}/publish", published).json()["status"],
                "Published"
            );
            let archived = ask(&site, "POST", &format!("{path}/archive"), &Value::Null).await.is(200);
            assert_eq!(document.holds("POST", "/api/content/{id}/archive", archived).json()["version"], 5);
            let again = ask(&site, "POST", &format!("{path}/publish"), &Value::Null).await;
            document.holds("POST", "/api/content/{id}/publish", again).problem(422, "refused");
            ask(&site, "PATCH", &path, &json!({"status": "Draft"})).await.is(200);
            let by_slug = document.holds(
                "GET",
                "/api/content/by-slug/{slug}",
                site.get("/api/content/by-slug/hello").await.is(200),
            );
            assert_eq!(by_slug.json(), site.get(&path).await.json());

            end(&site, &document, &path).await;
            check_history(&site, &document, &path).await;
            site.get("/api/content/never").await.problem(404, "not-found");
            site.get("/api/content/never/history").await.problem(404, "not-found");
            site.get("/api/content/by-slug/never").await.problem(404, "not-found");
            ask(&site, "PATCH", "/api/content/never", &json!({"title": "No"}))
                .await
                .problem(404, "not-found");
            // The slug is free again.
            made_again(&site).await;
        });
    }
}

/// Deletes a content: nothing can be done to it any more.
async fn end(site: &Site, document: &Document, path: &str) {
    let gone =
        document.holds("DELETE", "/api/content/{id}", ask(site, "DELETE", path, &Value::Null).await.is(204));
    assert_eq!(gone.header("etag"), Some("\"7\""));
    for (method, path, body) in [
        ("GET", path.to_owned(), Value::Null),
        ("PATCH", path.to_owned(), json!({"title": "No"})),
        ("DELETE", path.to_owned(), Value::Null),
        ("POST", format!("{path}/publish"), Value::Null),
        ("GET", "/api/content/by-slug/hello".to_owned(), Value::Null),
    ] {
        ask(site, method, &path, &body).await.problem(410, "deleted");
    }
}

async fn made_again(site: &Site) {
    let body = json!({"title": "Another", "slug": "hello", "content": "x", "author": "Ida"});
    let path = made(site, &body).await;
    assert_eq!(site.get("/api/content/by-slug/hello").await.is(200).json(), site.get(&path).await.json());
    ask(site, "PATCH", &path, &json!({"slug": null})).await.is(200);
    site.get("/api/content/by-slug/hello").await.problem(404, "not-found");
}

async fn check_history(site: &Site, document: &Document, path: &str) {
    let history = site.get(&format!("{path}/history")).await.is(200);
    let history = document.holds("GET", "/api/content/{id}/history", history);
    assert_eq!(history.header("etag"), Some("\"7\""));
    let told = history.json();
    let entries = told["items"].as_array().unwrap();
    let types: Vec<&str> = entries.iter().map(|entry| entry["eventType"].as_str().unwrap()).collect();
    let updated = ["ContentUpdated"; 5];
    assert_eq!(types, [&["ContentCreated"][..], &updated, &["ContentDeleted"]].concat());
    let fields: Vec<&str> = entries[1]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["title", "description", "content"]);
    let forwards = all_of(site, &format!("{path}/history"), 2).await;
    assert_eq!(&forwards, entries);
    let mut backwards = all_of(site, &format!("{path}/history?backward=true"), 3).await;
    backwards.reverse();
    assert_eq!(&backwards, entries);

    let diff = document
        .holds("GET", "/api/content/{id}/diff", site.get(&format!("{path}/diff?from=v1&to=v2")).await.is(200))
        .json();
    assert_eq!((&diff["from"]["version"], &diff["to"]["version"]), (&json!(1), &json!(2)));
    assert_eq!(
        diff["changes"][0],
        json!({
            "field": "title", "before": "Hello", "after": "Hello there", "words": [{"kept": "Hello"}, {"added": " there"}],
        })
    );
    assert_eq!(diff["changes"][1], json!({"field": "description", "before": null, "after": "A greeting"}));
    // From the beginning until now, when nobody says; and now it is gone.
    let whole = document
        .holds("GET", "/api/content/{id}/diff", site.get(&format!("{path}/diff")).await.is(200))
        .json();
    assert_eq!((&whole["from"]["version"], &whole["to"]["version"]), (&json!(1), &json!(7)));
    assert!(whole["changes"].as_array().unwrap().iter().all(|change| change.get("after").is_none()));

    let then = document.holds("GET", "/api/content/{id}", site.get(&format!("{path}?at=v2")).await.is(200));
    assert_eq!((then.json()["title"].as_str(), then.header("etag")), (Some("Hello there"), Some("\"2\"")));
    assert_eq!(then.json()["updatedAt"], entries[1]["recordedAt"]);
    let at = |place: &str| format!("{path}?at={place}");
    let (position, time) = (&entries[0]["position"], entries[0]["recordedAt"].as_str().unwrap());
    for place in [position.to_string(), time.to_owned()] {
        assert_eq!(site.get(&at(&place)).await.is(200).json()["title"], "Hello", "{place}");
    }
    site.get(&at("v7")).await.problem(410, "deleted");
    site.get(&at("v8")).await.problem(422, "refused");
    site.get(&at("0")).await.problem(404, "not-found");
    site.get(&at("2001-01-01T00:00:00Z")).await.problem(404, "not-found");
    site.get(&at("9000000000")).await.problem(422, "refused");
    site.get(&at("zzz-1")).await.problem(410, "epoch-changed");
    assert_eq!(site.get(&at("v0")).await.problem(400, "malformed")["invalid"].as_object().unwrap().len(), 1);
}

#[test]
fn all_that_is_wrong_with_a_content_is_told_at_once() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let body = json!({"title": "", "slug": "No Slug", "colour": "red", "tags": ["good", 1]});
            let wrong = ask(&site, "POST", "/api/content", &body).await;
            let told = document.holds("POST", "/api/content", wrong).problem(400, "malformed");
            assert_eq!(told["missing"], json!(["author", "content"]));
            let fields: Vec<&String> = told["invalid"].as_object().unwrap().keys().collect();
            assert_eq!(fields, ["colour", "slug", "tags[1]", "title"]);
            assert_eq!(told["outcome"], "not-committed");

            let path =
                made(&site, &json!({"title": "One", "slug": "one", "content": "x", "author": "Ada"})).await;
            let id = path.rsplit('/').next().unwrap();
            let other = made(&site, &new("Two")).await;
            let body = json!({"title": "Three", "slug": "one", "content": "x", "author": "Ada"});
            let taken = ask(&site, "POST", "/api/content", &body).await;
            assert_eq!(document.holds("POST", "/api/content", taken).problem(409, "taken")["owner"], id);
            let taken = ask(&site, "PATCH", &other, &json!({"slug": "one"})).await;
            assert_eq!(
                document.holds("PATCH", "/api/content/{id}", taken).problem(409, "taken")["owner"],
                id
            );

            for (method, path, body, field) in [
                ("PATCH", path.as_str(), json!({"title": null, "id": "x"}), &["id", "title"][..]),
                ("PATCH", path.as_str(), json!([]), &[""]),
                (
                    "GET",
                    "/api/content?status=Gone&sort=title&after=x&what=1",
                    Value::Null,
                    &["after", "sort", "status", "what"],
                ),
                ("GET", "/api/content/a%20b", Value::Null, &["id"]),
                ("DELETE", "/api/content/x?y=1", Value::Null, &["y"]),
            ] {
                let told = ask(&site, method, path, &body).await.problem(400, "malformed");
                let fields: Vec<&String> = told["invalid"].as_object().unwrap().keys().collect();
                assert_eq!(fields, field, "{method} {path}");
            }
            let text = site.request("PATCH", &path).header("Content-Type", "text/plain").body("{}");
            send(text).await.problem(415, "unsupported-media-type");
            let none = send(
                site.request("POST", "/api/content").header("Content-Type", "application/json").body("{"),
            )
            .await;
            none.problem(400, "malformed");
            send(site.request("POST", &format!("{path}/publish")).json(&json!({})))
                .await
                .problem(400, "malformed");
            let large = json!({"title": "x", "author": "x", "content": "x".repeat(1_100_000)});
            ask(&site, "POST", "/api/content", &large).await.problem(413, "too-large");
            let wrong = send(with(&site, "DELETE", &path, &Value::Null, &[("If-Match", "3")])).await;
            assert!(wrong.problem(400, "malformed")["invalid"]["If-Match"].is_string());
        });
    }
}

#[test]
fn of_two_clients_that_change_one_version_one_wins_and_the_other_hears_which_it_is_now() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let path = made(&site, &new("Contested")).await;
            // Both have read version 1.
            ask_if(&site, "PATCH", &path, &json!({"title": "By the one"}), 1).await.is(200);
            let late = ask_if(&site, "PATCH", &path, &json!({"title": "By the other"}), 1).await;
            assert_eq!(late.header("etag"), Some("\"2\""));
            let told = document.holds("PATCH", "/api/content/{id}", late).problem(412, "precondition-failed");
            assert_eq!(
                (&told["expected"], &told["actual"], &told["outcome"]),
                (&json!(1), &json!(2), &json!("not-committed"))
            );
            ask_if(&site, "DELETE", &path, &Value::Null, 1).await.problem(412, "precondition-failed");
            ask_if(&site, "POST", &format!("{path}/publish"), &Value::Null, 1)
                .await
                .problem(412, "precondition-failed");
            assert_eq!(site.get(&path).await.json()["title"], "By the one");
            let again = ask_if(&site, "PATCH", &path, &json!({"title": "By the other"}), 2).await.is(200);
            assert_eq!(again.header("etag"), Some("\"3\""));
            let any =
                send(with(&site, "PATCH", &path, &json!({"title": "By any"}), &[("If-Match", "*")])).await;
            any.is(200);
            let none = send(with(
                &site,
                "PATCH",
                "/api/content/never",
                &json!({"title": "x"}),
                &[("If-Match", "*")],
            ))
            .await;
            assert_eq!(none.problem(412, "precondition-failed")["actual"], "none");
        });
    }
}

#[test]
fn of_many_clients_that_change_one_version_at_once_one_wins_every_time() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let path = made(&site, &new("Contested")).await;
            for version in 1..=8 {
                let change = |client: usize| {
                    let (site, path) = (&site, &path);
                    async move {
                        let body = json!({"title": format!("{client} at {version}")});
                        ask_if(site, "PATCH", path, &body, version).await
                    }
                };
                let all = join_all((0..16).map(change)).await;
                let won: Vec<_> = all.iter().filter(|answer| answer.status == 200).collect();
                assert_eq!(won.len(), 1, "{kind:?} at {version}");
                assert_eq!(site.get(&path).await.json()["title"], won[0].json()["title"]);
                for lost in all.into_iter().filter(|answer| answer.status != 200) {
                    assert_eq!(lost.problem(412, "precondition-failed")["actual"], version + 1);
                }
            }
        });
    }
}

#[test]
fn one_key_is_one_effect_and_one_answer_however_often_it_is_sent_at_once() {
    for kind in BOTH {
        let site = Site::start(kind);
        let (made, changed, path, body) = block_on(async {
            let body = json!({"title": "Once", "slug": "once", "content": "x", "author": "Ada"});
            let made = fifty_times(&site, "POST", "/api/content", &body, "make-1").await.is(201);
            let path = made.header("location").unwrap().to_owned();
            assert_eq!(
                get_behind(&site, "/api/content", &made).await.json()["items"].as_array().unwrap().len(),
                1
            );
            let changed =
                fifty_times(&site, "PATCH", &path, &json!({"title": "Twice"}), "change-1").await.is(200);
            assert_eq!(changed.header("etag"), Some("\"2\""));
            // One that had nothing to do is remembered as well.
            let nothing =
                fifty_times(&site, "PATCH", &path, &json!({"title": "Twice"}), "change-2").await.is(200);
            assert_eq!(nothing.header("etag"), Some("\"2\""));
            let published =
                fifty_times(&site, "POST", &format!("{path}/publish"), &Value::Null, "publish-1").await;
            assert_eq!(published.is(200).json()["version"], 3);
            ask_once(&site, "PATCH", &path, &json!({"title": "Other"}), "change-1")
                .await
                .problem(422, "idempotency-key-reused");
            ask_once(&site, "POST", "/api/content", &new("Other"), "make-1")
                .await
                .problem(422, "idempotency-key-reused");
            // Elsewhere it is another key.
            ask_once(&site, "POST", &format!("{path}/archive"), &Value::Null, "publish-1").await.is(200);
            let gone = fifty_times(&site, "DELETE", &path, &Value::Null, "delete-1").await;
            assert_eq!(gone.is(204).header("etag"), Some("\"5\""));
            (made, changed, path, body)
        });
        // Whatever has happened since, and to the server as well.
        let site = site.kill_and_restart();
        block_on(async {
            let again = ask_once(&site, "POST", "/api/content", &body, "make-1").await;
            assert_eq!((again.header("flightdeck-duplicate"), same(&again)), (Some("true"), same(&made)));
            let again = ask_once(&site, "PATCH", &path, &json!({"title": "Twice"}), "change-1").await;
            assert_eq!((again.header("flightdeck-duplicate"), same(&again)), (Some("true"), same(&changed)));
            let history = site.get(&format!("{path}/history")).await.is(200).json();
            assert_eq!(history["items"].as_array().unwrap().len(), 5);
        });
    }
}

#[test]
fn whoever_says_how_far_a_read_must_be_reads_what_was_written() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            for number in 0..25 {
                let answer =
                    ask(&site, "POST", "/api/content", &new(&format!("Number {number}"))).await.is(201);
                let list = get_behind(&site, "/api/content?limit=1", &answer).await.is(200).json();
                assert_eq!(list["items"][0]["title"], format!("Number {number}"), "{kind:?}");
                let path = answer.header("location").unwrap();
                let gone = ask(&site, "DELETE", path, &Value::Null).await.is(204);
                assert_eq!(
                    get_behind(&site, "/api/content", &gone).await.json()["items"],
                    json!([]),
                    "{kind:?}"
                );
            }
            let head = ask(&site, "POST", "/api/content", &new("Last")).await.is(201);
            let head = head.header("flightdeck-position").unwrap();
            let (epoch, position) = head.split_once('-').unwrap();
            let ahead = format!("{epoch}-{}", position.parse::<i64>().unwrap() + 1_000);
            for path in ["/api/content", "/api/content/x", "/api/content/by-slug/x"] {
                let ask = |position: &str| {
                    with(&site, "GET", path, &Value::Null, &[("FlightDeck-Min-Position", position)])
                };
                send(ask(&ahead)).await.problem(504, "position-not-reached");
                send(ask("zzz-1")).await.problem(409, "other-epoch");
                // A bare position is good in every epoch.
                assert_ne!(send(ask("1")).await.status, 400);
                send(ask("first")).await.problem(400, "malformed");
            }
        });
    }
}

#[test]
fn a_list_has_what_is_asked_for_in_that_order_page_by_page() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let mut last = None;
            for number in 0..9 {
                let (author, tag) = (["Ada", "Ida"][number % 2], format!("t{}", number % 3));
                let body = json!({"title": format!("Word{number} common"), "content": "x", "author": author, "tags": [tag]});
                let answer = ask(&site, "POST", "/api/content", &body).await.is(201);
                if number < 4 {
                    let path = format!("{}/publish", answer.header("location").unwrap());
                    last = Some(ask(&site, "POST", &path, &Value::Null).await.is(200));
                } else {
                    last = Some(answer);
                }
            }
            get_behind(&site, "/api/content", &last.unwrap()).await.is(200);
            // Where words are found may come a moment later.
            site.until("/api/content?q=common", |answer| {
                answer.json()["items"].as_array().unwrap().len() == 9
            })
            .await;
            let newest: Vec<usize> = (0..9).rev().collect();
            for (query, expected) in [
                ("", newest.clone()),
                ("?sort=-updatedAt", newest),
                ("?sort=updatedAt", (0..9).collect()),
                ("?status=Published", vec![3, 2, 1, 0]),
                ("?status=Draft&author=Ida", vec![7, 5]),
                ("?tag=t1&sort=updatedAt", vec![1, 4, 7]),
                ("?tag=t", vec![]),
                ("?q=word3", vec![3]),
                ("?q=WORD*+common&author=Ada&sort=updatedAt", vec![0, 2, 4, 6, 8]),
                ("?q=nowhere", vec![]),
            ] {
                let path = format!("/api/content{query}");
                document.holds("GET", "/api/content", site.get(&path).await.is(200));
                let items = all_of(&site, &path, 2).await;
                let titles: Vec<&str> = items.iter().map(|item| item["title"].as_str().unwrap()).collect();
                let expected: Vec<String> =
                    expected.iter().map(|number| format!("Word{number} common")).collect();
                assert_eq!(titles, expected, "{kind:?} {query}");
            }
            let next = site.get("/api/content?limit=1").await.json()["next"].as_str().unwrap().to_owned();
            let wrong = site.get(&format!("/api/users?after={next}")).await.problem(400, "malformed");
            assert!(wrong["invalid"]["after"].is_string(), "{wrong}");
        });
    }
}

#[test]
fn a_list_is_told_as_of_a_moment_as_it_was_then() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let (mut then, mut paths) = (Vec::new(), Vec::new());
            for number in 0..4 {
                let answer =
                    ask(&site, "POST", "/api/content", &new(&format!("Number {number}"))).await.is(201);
                paths.push(answer.header("location").unwrap().to_owned());
                let told = get_behind(&site, "/api/content", &answer).await.is(200).json();
                let recorded = answer.json()["updatedAt"].as_str().unwrap().to_owned();
                then.push((answer.header("flightdeck-position").unwrap().to_owned(), recorded, told));
            }
            ask(&site, "PATCH", &paths[0], &json!({"title": "Changed"})).await.is(200);
            ask(&site, "DELETE", &paths[1], &Value::Null).await.is(204);
            for (cursor, time, told) in &then {
                let position = cursor.split_once('-').unwrap().1;
                for at in [cursor.as_str(), position, time.as_str()] {
                    let answer = site.get(&format!("/api/content?at={at}")).await.is(200);
                    assert_eq!(&document.holds("GET", "/api/content", answer).json(), told, "{kind:?} {at}");
                    let pages = all_of(&site, &format!("/api/content?at={at}"), 1).await;
                    assert_eq!(&json!(pages), &told["items"], "{kind:?} {at}");
                }
            }
            assert_eq!(site.get("/api/content?at=0").await.is(200).json(), json!({"items": []}));
            let now = site.get("/api/content?at=2999-01-01T00:00:00Z").await.is(200).json();
            assert_eq!(now["items"].as_array().unwrap().len(), 3);
            let ahead = document.holds("GET", "/api/content", site.get("/api/content?at=900000").await);
            assert!(ahead.problem(422, "refused")["head"].is_string());
            let elsewhere = document.holds("GET", "/api/content", site.get("/api/content?at=zzz-1").await);
            elsewhere.problem(410, "epoch-changed");
            site.get("/api/content?at=v3").await.problem(400, "malformed");
        });
    }
}

#[test]
fn what_is_asked_for_by_its_tag_is_not_sent_again() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let path = made(&site, &new("Known")).await;
        let known = |tag: &str| with(&site, "GET", &path, &Value::Null, &[("If-None-Match", tag)]);
        assert!(send(known("\"1\"")).await.is(304).bytes.is_empty());
        send(known("\"2\"")).await.is(200);
        let head = send(site.request("HEAD", &path)).await.is(200);
        assert_eq!((head.header("etag"), head.bytes.len()), (Some("\"1\""), 0));
    });
}

/// What a URL names may be another thing the next time, at the same version: nobody is told then that it is as it was.
#[test]
fn a_slug_that_another_has_taken_is_never_as_it_was() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let make = |slug: &str| json!({ "title": slug, "slug": slug, "content": "-", "author": "Ada" });
        let first = site.post("/api/content", &make("news")).await.is(201).json();
        let asked = site.get("/api/content/by-slug/news").await.is(200);
        assert_eq!((asked.header("etag"), asked.header("cache-control")), (Some("\"1\""), Some("no-store")));
        let path = format!("/api/content/{}", first["id"].as_str().unwrap());
        let known = site.request("GET", &path).header("If-None-Match", "\"1\"");
        assert_eq!(send(known).await.is(304).header("cache-control"), Some("private, no-cache"));
        let moved = site.request("PATCH", &path).json(&json!({ "slug": "old-news" }));
        send(moved).await.is(200);
        let second = site.post("/api/content", &make("news")).await.is(201).json();
        let again = site.request("GET", "/api/content/by-slug/news").header("If-None-Match", "\"1\"");
        assert_eq!(send(again).await.is(200).json()["id"], second["id"]);
    });
}
