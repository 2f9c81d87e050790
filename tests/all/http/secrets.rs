//! Secrets that are planted wherever there may be some, and found nowhere that others look: not in the log of the server, whatever it is told to
//! say, not in what commands say, not in the metrics, and not in the log of events.

use std::process::Command;

use serde_json::json;

use super::guarded::Guarded;
use super::{BOTH, send};
use crate::doors::flightdeck;
use crate::victim::block_on;

/// A text that stands nowhere by chance.
fn canary(place: &str) -> String {
    format!("canary-{place}-7d1f0c9e")
}

/// Sends secrets wherever some may be sent, and says what others are told then.
async fn plant(on: &Guarded, planted: &mut Vec<String>) -> String {
    let (secret, _) = on.token(&json!({ "name": "other", "scopes": ["read"], "reads": ["*"] })).await;
    on.ask(&secret, "GET", "/api/events", "").await.is(200);
    // What was good, what never was, and what is cut short.
    on.ask(&format!("fdt_{}", canary("bearer")), "GET", "/api/events", "").await.is(401);
    on.ask(&secret[..secret.len() - 4], "GET", "/api/events", "").await.is(401);
    let signed = on.signed(&Guarded::claims("nobody-here"));
    on.ask(&signed, "GET", "/api/events", "").await.is(403);
    let forged = on.signed(&json!({ "sub": canary("claim"), "exp": 1 }));
    on.ask(&forged, "GET", "/api/events", "").await.is(401);
    let basic = on.site.request("GET", "/api/events").basic_auth("ada", Some(canary("basic")));
    send(basic).await.is(401);
    let header = format!("Basic {}", canary("basic"));
    send(on.site.request("GET", "/api/events").header("authorization", header)).await.is(401);
    let cookie = format!("flightdeck_visitor={}", canary("cookie"));
    let fact = json!({ "type": "PageViewed", "pageId": "/" });
    let recorded =
        send(on.site.request("POST", "/api/events").header("cookie", cookie).json(&fact)).await.is(202);
    let visitor = recorded.header("set-cookie").unwrap().split_once('=').unwrap().1;
    let visitor = visitor.split(';').next().unwrap().to_owned();
    let link =
        on.site.request("POST", "/api/stream/link").header("cookie", format!("flightdeck_visitor={visitor}"));
    let code = send(link).await.is(201).json()["code"].as_str().unwrap().to_owned();
    let path = format!("/api/events?ref={code}");
    send(on.site.request("POST", &path).json(&fact)).await.is(202);
    for path in ["/api/events?access_token=", "/api/content?q=", "/nothing?token=", "/api/events?ref="] {
        let place = if path.ends_with("ref=") { "ref" } else { "query" };
        on.ask("", "GET", &format!("{path}{}", canary(place)), "").await;
    }
    let keyed = on.site.request("POST", "/api/events").header("idempotency-key", canary("key")).json(&fact);
    send(keyed).await.is(202);
    planted.extend([secret, signed, forged, visitor, code, on.admin.clone()]);
    let metrics = on.ask(&on.admin, "GET", "/metrics", "").await.is(200);
    let audit = on.ask(&on.admin, "GET", "/api/events?streams=$*", "").await.is(200);
    let connections = on.ask(&on.admin, "GET", "/api/admin/connections", "").await.is(200);
    [metrics, audit, connections].map(|answer| String::from_utf8(answer.bytes).unwrap()).concat()
}

#[test]
fn no_secret_is_told() {
    for kind in BOTH {
        for log in ["trace", "trace,json"] {
            let on = Guarded::start_with(kind, &["--log", log]);
            let mut planted: Vec<String> =
                ["bearer", "basic", "cookie", "query", "key", "ref", "password", "claim"]
                    .iter()
                    .map(|place| canary(place))
                    .collect();
            let mut told = block_on(plant(&on, &mut planted));
            let (code, said) = on.site.stop();
            assert_eq!(code, Some(0), "{said}");
            assert!(
                said.contains("TRACE") || said.contains("\"level\":\"DEBUG\""),
                "the server says all it can: {said:.2000}"
            );
            told.push_str(&said);
            for secret in &planted {
                // Of what is long, half is too much as well.
                let parts = [&secret[..], &secret[secret.len() / 2..]];
                for part in parts.iter().take(if secret.len() > 40 { 2 } else { 1 }) {
                    let line = told.lines().find(|line| line.contains(part));
                    assert_eq!(line, None, "{part}");
                }
            }
        }
    }
}

/// Nor do commands tell the password of a database, also where it can't be reached.
#[test]
fn no_command_tells_a_password() {
    let url = format!("postgres://ada:{}@127.0.0.1:1/app?connect_timeout=1", canary("password"));
    let traces = format!("http://ada:{}@127.0.0.1:1", canary("password"));
    for command in
        [&["config"][..], &["doctor"], &["serve"], &["read"], &["migrate"], &["verify"], &["token", "list"]]
    {
        for log in ["trace", "trace,json"] {
            let ran = Command::new(flightdeck())
                .args(command)
                .args([
                    "--store",
                    &url,
                    "--notify-url",
                    &url,
                    "--traces",
                    &traces,
                    "--listen",
                    "127.0.0.1:0",
                    "--log",
                    log,
                ])
                .output()
                .unwrap();
            for said in [ran.stdout, ran.stderr] {
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(!said.contains(&canary("password")), "{command:?}: {said}");
            }
        }
    }
}
