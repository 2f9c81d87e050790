//! Users over HTTP: their whole life, addresses and roles, and who is asking.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flightdeck_core::{EventType, Json, Reference, SchemaNumber, StreamId};
use flightdeck_server::{Grants, Identify, Principal, Problem, Server, Shown, Streams};
use flightdeck_store::{Append, EventStore as _, NewEvent, StreamPattern};
use flightdeck_store_sqlite::{Options, SqliteStore};
use serde_json::{Value, json};

use super::things::{Document, all_of, ask, ask_if, fifty_times, get_behind};
use super::{BOTH, Site};
use crate::victim::block_on;

const ONE: &str = "/api/users/{id}";

async fn registered(site: &Site, name: &str) -> String {
    let body = json!({"email": format!("{name}@example.org"), "displayName": name});
    let answer = ask(site, "POST", "/api/users", &body).await.is(201);
    answer.header("location").unwrap().to_owned()
}

#[test]
fn a_user_is_registered_changes_and_logs_in() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let body = json!({"email": "Ada@Example.org", "displayName": "Ada"});
            let made =
                document.holds("POST", "/api/users", ask(&site, "POST", "/api/users", &body).await.is(201));
            let (path, told) = (made.header("location").unwrap().to_owned(), made.json());
            assert_eq!((&told["role"], told.get("lastLoginAt")), (&json!("Viewer"), None));
            assert_eq!(document.holds("GET", ONE, site.get(&path).await.is(200)).json(), told);

            // The same address, whatever its letters look like; and who has it is not told.
            let taken = json!({"email": "ada@EXAMPLE.org", "displayName": "Another"});
            let taken = document.holds("POST", "/api/users", ask(&site, "POST", "/api/users", &taken).await);
            assert_eq!(taken.problem(409, "taken").get("owner"), None);
            let other = registered(&site, "ida").await;
            let taken = ask(&site, "PATCH", &other, &json!({"email": "ADA@example.org"})).await;
            document.holds("PATCH", ONE, taken).problem(409, "taken");
            let wrong = ask(&site, "POST", "/api/users", &json!({"email": "nobody", "id": "x"}))
                .await
                .problem(400, "malformed");
            assert_eq!(
                (&wrong["missing"], wrong["invalid"].as_object().unwrap().len()),
                (&json!(["displayName"]), 2)
            );

            let changed = document.holds(
                "PATCH",
                ONE,
                ask(&site, "PATCH", &path, &json!({"displayName": "Ada L."})).await.is(200),
            );
            let changed = changed.json();
            assert_eq!(
                (&changed["displayName"], &changed["email"]),
                (&json!("Ada L."), &json!("Ada@Example.org"))
            );
            log_in(&site, &document, &path, &changed).await;
            check_the_past(&site, &document, &path, &told).await;
            site.get("/api/users/never").await.problem(404, "not-found");
            ask(&site, "POST", "/api/users/never/logins", &Value::Null).await.problem(404, "not-found");
            let me = document.holds("GET", "/api/users/me", site.get("/api/users/me").await);
            assert_eq!(me.header("www-authenticate"), Some("Bearer"));
            me.problem(401, "unauthenticated");
        });
    }
}

/// That someone logs in is a time of its own, and no change of the user.
async fn log_in(site: &Site, document: &Document, path: &str, changed: &Value) {
    let logins = format!("{path}/logins");
    let first = document.holds(
        "POST",
        "/api/users/{id}/logins",
        ask(site, "POST", &logins, &Value::Null).await.is(200),
    );
    for _ in 0..3 {
        ask(site, "POST", &logins, &Value::Null).await.is(200);
    }
    let now = site.get(path).await.is(200).json();
    assert!(now["lastLoginAt"].as_str() > first.json()["lastLoginAt"].as_str());
    assert_eq!((&now["updatedAt"], &now["version"]), (&changed["updatedAt"], &json!(6)));
    let listed = get_behind(site, "/api/users?sort=-lastLoginAt&limit=1", &first).await.is(200);
    let listed = document.holds("GET", "/api/users", listed).json()["items"][0].clone();
    assert_eq!((&listed["id"], &listed["updatedAt"]), (&now["id"], &now["updatedAt"]));
}

async fn check_the_past(site: &Site, document: &Document, path: &str, told: &Value) {
    let then = document.holds("GET", ONE, site.get(&format!("{path}?at=v1")).await.is(200)).json();
    assert_eq!(&then, told);
    let history = site.get(&format!("{path}/history")).await.is(200);
    assert_eq!(
        document.holds("GET", "/api/users/{id}/history", history).json()["items"].as_array().unwrap().len(),
        6
    );
    let diff = site.get(&format!("{path}/diff?from=v1&to=v2")).await.is(200);
    assert_eq!(
        document.holds("GET", "/api/users/{id}/diff", diff).json()["changes"][0]["field"],
        "displayName"
    );
}

#[test]
fn one_admin_always_stays() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let document = Document::of(&site).await;
            let (ada, ida) = (registered(&site, "ada").await, registered(&site, "ida").await);
            let role = async |path: &str, role: &str| {
                let answer = ask(&site, "PUT", &format!("{path}/role"), &json!({"role": role})).await;
                document.holds("PUT", "/api/users/{id}/role", answer)
            };
            assert_eq!(role(&ada, "Admin").await.is(200).json()["role"], "Admin");
            let told = role(&ada, "Viewer").await.problem(422, "refused");
            assert_eq!(told["outcome"], "not-committed");
            assert!(role(&ada, "King").await.problem(400, "malformed")["invalid"]["role"].is_string());
            role(&ida, "Admin").await.is(200);
            // Both want to be none at once: one of them stays.
            let (one, other) = tokio::join!(role(&ada, "Editor"), role(&ida, "Editor"));
            let mut statuses = [one.status, other.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 422], "{kind:?}");
            let written = if one.status == 200 { one } else { other };
            let admins = get_behind(&site, "/api/users?role=Admin", &written).await.is(200).json();
            assert_eq!(admins["items"].as_array().unwrap().len(), 1);
            ask_if(&site, "PUT", &format!("{ada}/role"), &json!({"role": "Viewer"}), 1)
                .await
                .problem(412, "precondition-failed");
        });
    }
}

#[test]
fn one_key_registers_one_user_and_is_one_login_however_often_it_is_sent_at_once() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let body = json!({"email": "ada@example.org", "displayName": "Ada"});
            let made = fifty_times(&site, "POST", "/api/users", &body, "make").await.is(201);
            let path = made.header("location").unwrap().to_owned();
            fifty_times(&site, "POST", &format!("{path}/logins"), &Value::Null, "login").await.is(200);
            fifty_times(&site, "PUT", &format!("{path}/role"), &json!({"role": "Admin"}), "role")
                .await
                .is(200);
            let changed =
                fifty_times(&site, "PATCH", &path, &json!({"displayName": "Ida"}), "change").await.is(200);
            assert_eq!(changed.header("etag"), Some("\"4\""));
        });
    }
}

#[test]
fn users_are_listed_by_name_and_in_other_orders() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let mut written = None;
            for name in ["carol", "ada", "bea"] {
                let body = json!({"email": format!("{name}@example.org"), "displayName": name});
                written = Some(ask(&site, "POST", "/api/users", &body).await.is(201));
            }
            let written = written.unwrap();
            for (sort, expected) in [
                ("displayName", ["ada", "bea", "carol"]),
                ("-displayName", ["carol", "bea", "ada"]),
                ("email", ["ada", "bea", "carol"]),
                ("createdAt", ["carol", "ada", "bea"]),
                ("-updatedAt", ["bea", "ada", "carol"]),
            ] {
                let path = format!("/api/users?sort={sort}");
                get_behind(&site, &path, &written).await.is(200);
                let items = all_of(&site, &path, 2).await;
                let names: Vec<&str> =
                    items.iter().map(|item| item["displayName"].as_str().unwrap()).collect();
                assert_eq!(names, expected, "{kind:?} {sort}");
            }
            site.until("/api/users?q=carol", |answer| answer.json()["items"].as_array().unwrap().len() == 1)
                .await;
        });
    }
}

#[test]
fn a_list_as_of_a_moment_that_is_too_far_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let site = block_on(async {
        let store = SqliteStore::open(&path, Options::default()).unwrap();
        let event = |name: &str, data: String| {
            let (stream, name) = (StreamId::new("user-ada").unwrap(), EventType::new(name).unwrap());
            NewEvent::new(stream, name, Json::new(data, 1 << 16).unwrap())
        };
        let mut events = vec![event(
            "UserRegistered",
            json!({"userId": "ada", "email": "a@b", "displayName": "Ada"}).to_string(),
        )];
        for number in 0..200_001 {
            let data =
                json!({"userId": "ada", "loginTimestamp": format!("2026-01-01T00:00:00.{number:06}Z")});
            events.push(event("UserLoggedIn", data.to_string()));
            if events.len() == 1_000 {
                store.append(Append::of(std::mem::take(&mut events))).await.unwrap();
            }
        }
        store.append(Append::of(events)).await.unwrap();
        store.close().await;
        Site::run(&format!("sqlite:{}", path.display()), folder, &[])
    });
    block_on(async {
        let told = site.get("/api/users?at=200000").await.is(200).json();
        assert_eq!(told["items"][0]["lastLoginAt"], "2026-01-01T00:00:00.199998Z");
        site.get("/api/users?at=200001").await.problem(422, "too-much");
    });
}

/// Everyone is Ada, if she is registered.
struct Everyone(Reference);

#[async_trait]
impl Identify for Everyone {
    async fn who(&self, _: Shown<'_>) -> Result<Principal, Problem> {
        let own =
            ["content-mine", "content-0*", "user-*"].map(|pattern| StreamPattern::parse(pattern).unwrap());
        let grants = Grants { reads: Streams::of(own), writes: Streams::every(), ..Grants::default() };
        Ok(Principal { actor: Some(self.0.clone()), grants, ..Principal::default() })
    }

    async fn again(&self, _: &Principal) -> Result<Principal, Problem> {
        self.who(Shown::default()).await
    }
}

#[test]
fn who_asks_is_told_of_itself_and_lists_have_what_it_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(folder.path().join("store.db"), Options::default()).unwrap();
        let store = Arc::new(store);
        let event = |stream: &str, name: &str, data: Value| {
            let (stream, name) = (StreamId::new(stream).unwrap(), EventType::new(name).unwrap());
            NewEvent::new(stream, name, Json::new(data.to_string(), 1 << 16).unwrap())
        };
        let content = |id: &str| {
            json!({"contentId": id, "title": id, "content": "x", "author": "Ada", "format": "Markdown", "tags": []})
        };
        let contents = ["mine", "another"].map(|id| NewEvent {
            schema: SchemaNumber::new(2).unwrap(),
            ..event(&format!("content-{id}"), "ContentCreated", content(id))
        });
        store.append(Append::of(contents)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ada = Everyone(Reference::new("ada").unwrap());
        let server = Server::new(Arc::clone(&store) as _, Arc::clone(&store) as _).identify(ada).listen(listener);
        let running = server.start().await.unwrap();
        let url = format!("http://{}", running.addresses()[0]);
        let client = reqwest::Client::new();
        let get = async |path: &str| super::send(client.get(format!("{url}{path}"))).await;

        get("/api/users/me").await.problem(404, "not-found");
        let ada = json!({"userId": "ada", "email": "ada@example.org", "displayName": "Ada"});
        let appended = store.append(Append::of([event("user-ada", "UserRegistered", ada)])).await.unwrap();
        let me = get("/api/users/me").await.is(200);
        assert_eq!((&me.json()["id"], me.header("etag")), (&json!("ada"), Some("\"1\"")));

        for list in ["/api/content".to_owned(), format!("/api/content?at={}", appended.cursor)] {
            let begun = Instant::now();
            let titles = loop {
                let told = get(&list).await.is(200).json();
                let items = told["items"].as_array().unwrap().clone();
                if !items.is_empty() || begun.elapsed() > Duration::from_secs(20) {
                    break items.iter().map(|item| item["title"].clone()).collect::<Vec<_>>();
                }
            };
            assert_eq!(titles, ["mine"], "{list}");
        }
        // Who makes something is its author, when nobody says who is.
        let made = client.post(format!("{url}/api/content")).json(&json!({"title": "New", "content": "x"}));
        let made = super::send(made).await.is(201);
        assert_eq!(made.json()["author"], "ada");
        let history = get(&format!("{}/history", made.header("location").unwrap())).await.is(200).json();
        assert_eq!(history["items"][0]["userId"], "ada");
        running.stop().await;
    });
}
