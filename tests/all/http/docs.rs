//! What people and monitoring look at: `/docs`, which needs nothing from elsewhere, and `/metrics`.

use flightdeck_core::prose::Layout;
use serde_json::json;

use super::{BOTH, Kind, Site};
use crate::victim::block_on;

#[test]
fn the_pages_are_served_whole_and_may_load_nothing_from_elsewhere() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        for (path, files) in [("/docs", 3), ("/live", 3), ("/live?streams=content-*&transport=websocket", 3)]
        {
            let page = site.get(path).await.is(200);
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            let policy = page.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
            let html = String::from_utf8(page.bytes).unwrap();
            // Whatever the page names is there, and is ours; nothing of it stands in the page, where the policy would forbid it.
            let mut named = 0;
            for (_, behind) in html
                .match_indices("src=\"")
                .chain(html.match_indices("href=\""))
                .map(|(at, found)| (at, &html[at + found.len()..]))
            {
                let address = behind.split('"').next().unwrap();
                if address != "data:," {
                    assert!(address.starts_with('/'), "{address}");
                    let there = site.get(address).await.is(200);
                    assert_eq!(there.header("x-content-type-options"), Some("nosniff"));
                    named += 1;
                }
            }
            assert!(named >= files, "{path}: {named}");
            assert!(!html.contains("<script>") && !html.contains("<style") && !html.contains(" style="));
        }
        for file in ["/docs", "/docs/page.js", "/docs/page.css", "/live", "/live/page.js", "/live/page.css"] {
            let text = String::from_utf8(site.get(file).await.is(200).bytes).unwrap();
            assert!(
                !text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"),
                "{file}"
            );
        }
        for file in ["/docs/page.js", "/live/page.js"] {
            let script = site.get(file).await.is(200);
            assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
        }
        // What a link can't say is refused: no credential stands in one.
        site.get("/live?token=fdt_x").await.problem(400, "malformed");
    });
}

#[test]
fn the_metrics_tell_requests_appends_and_how_far_log_and_views_are() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            for _ in 0..3 {
                site.post("/api/events", &json!({ "type": "PageViewed", "pageId": "/" })).await.is(202);
            }
            site.get("/api/streams/nothing-1").await.is(404);
            site.get("/no/route/at/all").await.is(404);
            let there = |answer: &super::Answer| {
                let text = String::from_utf8_lossy(&answer.bytes).into_owned();
                text.contains("flightdeck_view_lag_events{view=\"pages\"} 0\n")
                    && text.contains("flightdeck_log_head_position 3\n")
            };
            let mut answer = site.get("/metrics").await.is(200);
            for _ in 0..1_000 {
                if there(&answer) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                answer = site.get("/metrics").await.is(200);
            }
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            let text = String::from_utf8(answer.bytes.clone()).unwrap();
            assert!(there(&answer), "{text}");
            for line in [
                "flightdeck_http_requests_total{route=\"/api/events\",method=\"POST\",status=\"202\"} 3\n",
                "flightdeck_http_requests_total{route=\"/api/streams/{streamId}\",method=\"GET\",status=\"404\"} 1\n",
                "flightdeck_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1\n",
                "flightdeck_http_request_duration_seconds_count{route=\"/api/events\",method=\"POST\"} 3\n",
                "flightdeck_http_appends_total 3\n",
                "flightdeck_http_appended_events_total 3\n",
                "flightdeck_view_halted{view=\"pages\"} 0\n",
                "flightdeck_build_info{version=\"",
                "flightdeck_uptime_seconds ",
            ] {
                assert!(text.contains(line), "{line} in {text}");
            }
            // The client may have opened one more than it needed.
            let open = text.lines().find_map(|line| line.strip_prefix("flightdeck_connections_open "));
            assert!(open.is_some_and(|open| (1..=2).contains(&open.parse::<u32>().unwrap())), "{open:?}");
        });
    }
}

/// The two ways in which a document says what a text is say the same, and what is checked.
#[test]
fn a_text_is_told_alike_in_stored_shapes_and_in_requests() {
    let texts = [
        "a",
        " a",
        "a ",
        " ",
        "",
        "\t",
        "a\tb",
        "a\nb",
        "\n",
        "\u{200b}",
        "a\u{200b}",
        "\u{200b}a\u{feff}",
        "\u{2028}",
        "a\u{2028}b",
        "\u{202e}a",
        "\u{2066}",
        "\u{85}",
        "a\u{85}",
        "\0",
        "a\0",
        "\u{3164}\u{ad}",
        "日本",
        "\u{7f}x",
        "é \u{2060}",
    ];
    for layout in [Layout::Line, Layout::Lines] {
        let fits = |pattern: &str| jsonschema::validator_for(&json!({ "pattern": pattern })).unwrap();
        let (stored, asked) = (fits(layout.pattern()), fits(layout.spelt()));
        for text in texts {
            let checked = flightdeck_core::prose::check("text", text, 100, layout).is_ok();
            let told = (stored.is_valid(&json!(text)), asked.is_valid(&json!(text)));
            assert_eq!(told, (checked, checked), "{text:?} {layout:?}");
        }
    }
}
