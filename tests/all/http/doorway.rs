//! What happens at the door, whoever asks and for whatever: tokens that are told once, how often somebody may ask, pages of other sites, TLS,
//! what is written down of it, and what a server refuses to be started with.

use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::guarded::Guarded;
use super::{Answer, Kind, Site, send};
use crate::doors::flightdeck;
use crate::victim::block_on;

/// A token is made once for a key, told once, and known to nobody who reads what is stored.
#[test]
fn a_token_is_told_once() {
    let on = Guarded::start(Kind::Sqlite);
    block_on(async {
        let new =
            json!({ "name": "deploys", "scopes": ["write"], "writes": ["deploy-*"], "userId": "robot" });
        let ask = async || {
            let request = on.site.request("POST", "/api/admin/tokens").bearer_auth(&on.admin);
            send(request.header("idempotency-key", "one").json(&new)).await.is(201)
        };
        let (made, again) = (ask().await, ask().await);
        assert_eq!(
            (&made.json()["token"], again.header("flightdeck-duplicate")),
            (&again.json()["token"], Some("true"))
        );
        assert_eq!(again.json().get("secret"), None);
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        let body = r#"{"events":[{"eventType":"Deployed","data":1}]}"#;
        on.ask(&secret, "POST", "/api/streams/deploy-1/events", body).await.is(201);
        on.ask(&secret, "POST", "/api/streams/order-1/events", body).await.is(403);
        let events = on.ask(&on.admin, "GET", "/api/streams/deploy-1/events", "").await.json();
        assert_eq!(events["events"][0]["metadata"]["userId"], "robot");
        let listed = on.ask(&on.admin, "GET", "/api/admin/tokens", "").await.is(200).json();
        let names: Vec<&str> =
            listed["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["first", "deploys"]);
        let page = on.ask(&on.admin, "GET", "/api/admin/tokens?limit=1", "").await.is(200).json();
        assert_eq!((&page["items"][0]["name"], &page["next"]), (&json!("first"), &page["items"][0]["id"]));
        let path = format!("/api/admin/tokens?limit=1&after={}", page["next"].as_str().unwrap());
        let page = on.ask(&on.admin, "GET", &path, "").await.is(200).json();
        assert_eq!((&page["items"][0]["name"], page.get("next")), (&json!("deploys"), None));
        let log = on.ask(&on.admin, "GET", "/api/events?streams=$token-*", "").await.is(200).json();
        assert_eq!(log["events"].as_array().unwrap().len(), 2);
        for text in [listed.to_string(), log.to_string()] {
            assert!(!text.contains(&secret) && !text.contains(&secret[30..]), "{text}");
        }
        for bad in [
            json!({ "name": "A", "scopes": ["read"] }),
            json!({ "name": "A", "scopes": ["write"], "writes": [] }),
            json!({ "name": "A", "scopes": ["write"], "reads": ["*"], "writes": ["*"] }),
            json!({ "name": "A", "scopes": ["capture"], "reads": ["*"] }),
        ] {
            on.ask(&on.admin, "POST", "/api/admin/tokens", &bad.to_string()).await.problem(422, "refused");
        }
        for bad in [
            json!({ "name": "A", "scopes": [] }),
            json!({ "name": "A", "scopes": ["all"] }),
            json!({ "name": "", "scopes": ["read"], "reads": ["*"] }),
            json!({ "name": "A", "scopes": ["read"], "reads": ["a b"] }),
            json!({ "name": "A", "scopes": ["read"], "reads": ["*"], "more": 1 }),
        ] {
            on.ask(&on.admin, "POST", "/api/admin/tokens", &bad.to_string()).await.problem(400, "malformed");
        }
    });
}

/// What would let everyone in by mistake is refused at the start, and how it is meant is said.
#[test]
fn an_unsafe_mix_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let short = folder.path().join("short");
    std::fs::write(&short, "too short a secret\n").unwrap();
    let short = short.display().to_string();
    for (arguments, mend) in [
        (&["--listen", "0.0.0.0:0"][..], "--auth token"),
        (&["--auth", "jwt"], "--jwt-keys"),
        (&["--auth", "jwt", "--jwt-keys", &short, "--jwt-issuer", "a", "--jwt-audience", "b"], "32 bytes"),
        (
            &["--auth", "jwt", "--jwt-keys", "nowhere", "--jwt-issuer", "a", "--jwt-audience", "b"],
            "can't read",
        ),
        (&["--auth", "none"], "open, token, jwt"),
        (&["--tls-cert", &short], "--tls-key"),
        (&["--tls-cert", &short, "--tls-key", &short], "can't speak TLS"),
        (&["--origins", "https://shop.example/path"], "https://shop.example/path"),
        (&["--trusted-proxies", "10.0.0.0/99"], "10.0.0.0/99"),
    ] {
        let ran =
            Command::new(flightdeck()).args(["serve", "--store", &store]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(78), "{said}");
        assert!(said.contains(mend), "{said}");
    }
}

/// Who asks too often is told to wait, by what it shows or where it comes from, and nobody else is.
#[test]
fn who_asks_too_often_waits() {
    let on = Guarded::start_with(
        Kind::Sqlite,
        &["--limits", "caller_requests_per_second=20", "--trusted-proxies", "127.0.0.1"],
    );
    block_on(async {
        let (other, _) = on.token(&json!({ "name": "other", "scopes": ["read"], "reads": ["*"] })).await;
        let answers = join_all((0..200).map(|_| on.ask(&on.admin, "GET", "/api/streams", ""))).await;
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!((100..=170).contains(&refused.len()), "{} of 200", refused.len());
        assert_eq!(refused[0].header("retry-after"), Some("1"));
        refused[0].clone().problem(429, "too-many-requests");
        on.ask(&other, "GET", "/api/streams", "").await.is(200);
        // Whoever tries credentials is known by where that comes from.
        let tries = async |from: &str, times: usize| {
            let ask = |_| {
                let request = on.site.request("GET", "/api/streams").bearer_auth("fdt_wrong");
                send(request.header("x-forwarded-for", from))
            };
            let answers = join_all((0..times).map(ask)).await;
            answers.iter().filter(|answer| answer.status == 429).count()
        };
        assert!(tries("203.0.113.7", 200).await >= 100);
        assert_eq!(tries("203.0.113.8", 10).await, 0);
    });
}

/// A page of another site records no visitor, and hears nothing, unless it is allowed.
#[test]
fn pages_of_other_sites_may_ask_if_they_are_allowed() {
    let on = Guarded::start_with(Kind::Sqlite, &["--origins", "https://shop.example,http://localhost:5173"]);
    block_on(async {
        let fact = r#"{"type":"PageViewed","pageId":"/"}"#;
        let beacon = async |origin: Option<&str>| {
            let mut request =
                on.site.request("POST", "/api/events").header("content-type", "text/plain").body(fact);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            send(request).await
        };
        let own = on.site.url.clone();
        for good in [None, Some(own.as_str()), Some("https://shop.example"), Some("http://localhost:5173")] {
            beacon(good).await.is(202);
        }
        for bad in ["https://evil.example", "null", "https://shop.example.evil", "http://shop.example"] {
            assert_eq!(
                beacon(Some(bad)).await.problem(403, "forbidden")["outcome"],
                "not-committed",
                "{bad}"
            );
        }
        let asked = async |origin: &str| {
            let request = on.site.request("OPTIONS", "/api/content").header("origin", origin);
            let request = request.header("access-control-request-method", "POST");
            send(request.header("access-control-request-headers", "authorization,idempotency-key")).await
        };
        let allowed = asked("https://shop.example").await;
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(asked("https://evil.example").await.header("access-control-allow-origin"), None);
        let read = on.site.request("GET", "/api/content").header("origin", "https://shop.example");
        let read = send(read).await.is(200);
        assert_eq!(read.header("access-control-allow-origin"), Some("https://shop.example"));
        let read = on.site.request("GET", "/api/content").header("origin", "https://evil.example");
        assert_eq!(send(read).await.header("access-control-allow-origin"), None);
    });
}

/// Who was refused stands in the log, once however often that was, and so does whose credential was used.
#[test]
fn who_was_refused_is_written_down() {
    let on = Guarded::start(Kind::Sqlite);
    block_on(async {
        let (other, id) =
            on.token(&json!({ "name": "other", "scopes": ["read"], "reads": ["other-*"] })).await;
        for _ in 0..20 {
            on.ask(&other, "GET", "/api/streams/order-1", "").await.is(403);
            on.ask("", "GET", "/api/events", "").await.is(401);
            on.ask("fdt_wrong", "GET", "/api/events", "").await.is(401);
        }
        let (caller, begun) = (format!("token:{id}"), Instant::now());
        let entries = loop {
            let log = on.ask(&on.admin, "GET", "/api/events?streams=$audit", "").await.is(200).json();
            let entries: Vec<(Value, Value)> = log["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| (event["eventType"].clone(), event["data"].clone()))
                .collect();
            if entries.len() >= 4 || begun.elapsed() > Duration::from_secs(20) {
                break entries;
            }
        };
        let of = |name: &str, who: &str| {
            entries.iter().filter(|(kind, data)| *kind == name && data["caller"] == who).count()
        };
        // A minute may have ended in between.
        assert!((1..=2).contains(&of("AccessDenied", &caller)), "{entries:?}");
        assert!((1..=2).contains(&of("AccessDenied", "address 127.0.0.1")), "{entries:?}");
        assert_eq!(
            (of("CredentialUsed", &caller), of("CredentialUsed", "address 127.0.0.1")),
            (1, 0),
            "{entries:?}"
        );
        let told =
            entries.iter().find(|(_, data)| data["caller"] == caller && data["status"] == 403).unwrap();
        assert_eq!((&told.1["route"], &told.1["method"]), (&json!("/api/streams/{streamId}"), &json!("GET")));
    });
}

/// Over TLS the same is served, cookies are for TLS alone, and whoever comes that way is not taken for one who comes by the socket of the
/// machine.
#[test]
fn over_tls_the_same_is_served() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    let file = |name: &str| format!("{fixtures}/{name}");
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let on = Guarded::start_with(Kind::Sqlite, &["--tls-cert", &certificate, "--tls-key", &key]);
    assert!(on.site.url.starts_with("https://127.0.0.1:"), "{}", on.site.url);
    let asked = |arguments: &[&str], path: &str| {
        let ran = Command::new("curl")
            .args(["--silent", "--include", "--max-time", "20", "--cacert", &file("ca.pem")])
            .args(arguments)
            .arg(format!("{}{path}", on.site.url))
            .output()
            .unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let refused = asked(&[], "/api/events");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let read = asked(&["--header", &format!("Authorization: Bearer {}", on.admin)], "/api/admin/connections");
    assert!(read.starts_with("HTTP/1.1 200") && read.contains("\"127.0.0.1:"), "{read}");
    let fact = r#"{"type":"PageViewed","pageId":"/"}"#;
    let recorded = asked(&["--data", fact, "--header", "Content-Type: application/json"], "/api/events");
    assert!(recorded.starts_with("HTTP/1.1 202"), "{recorded}");
    let cookie = recorded.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).unwrap();
    assert!(
        cookie.contains("__Host-flightdeck_visitor=")
            && cookie.contains("Secure")
            && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    // And whoever speaks no TLS gets nothing.
    let bare = Command::new("curl")
        .args(["--silent", "--max-time", "20", &on.site.url.replace("https", "http")])
        .output()
        .unwrap();
    assert_ne!(bare.status.code(), Some(0));
}

/// Where everyone may everything, no page of another site does it for them.
#[test]
fn an_open_server_is_not_driven_by_pages_of_other_sites() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
            let request = headers
                .iter()
                .fold(site.request(method, path), |request, (name, value)| request.header(*name, *value));
            send(request).await
        };
        let pause = "/api/admin/projections/pages/pause";
        ask("POST", pause, &[("origin", "https://evil.example")]).await.problem(403, "forbidden");
        ask("POST", pause, &[("host", "evil.example")]).await.problem(403, "forbidden");
        ask("GET", "/api/events", &[("host", "evil.example:4600")]).await.problem(403, "forbidden");
        let own = site.url.clone();
        ask("POST", pause, &[("origin", &own)]).await.is(202);
        ask("GET", "/api/events", &[("host", "localhost:4600")]).await.is(200);
    });
}
