//! A server that is told to stop while many write: every answer that was given is true. (F30)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Client;
use serde_json::{Value, json};

use super::{BOTH, Site};
use crate::victim::block_on;

const WRITERS: usize = 16;
/// How many answers there are when it is told to stop.
const ANSWERS: usize = 400;

/// What was told of each request, by its writer and number; nothing when the connection was lost.
type Told = BTreeMap<(usize, usize), Option<(u16, Value)>>;

/// Appends one event to the writer's own stream, under a key.
async fn write(client: &Client, url: &str, (writer, number): (usize, usize)) -> Option<(u16, Value)> {
    let request = client
        .post(format!("{url}/api/streams/load-{writer}/events"))
        .header("Idempotency-Key", format!("{writer}-{number}"))
        .json(&json!({ "events": [{ "eventType": "Written", "data": { "number": number } }] }));
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

/// Writes until it is lost, or refused.
async fn writes(url: String, writer: usize, answers: Arc<AtomicUsize>) -> Told {
    let (client, mut told) = (Client::new(), Told::new());
    for number in 0.. {
        let answer = write(&client, &url, (writer, number)).await;
        let goes_on = matches!(answer, Some((201, _)));
        told.insert((writer, number), answer);
        answers.fetch_add(1, Ordering::SeqCst);
        if !goes_on {
            break;
        }
    }
    told
}

/// Every number that is in the log, with where it is.
async fn stored(site: &Site) -> BTreeMap<(usize, usize), (i64, i64)> {
    let (mut all, mut after) = (BTreeMap::new(), "0".to_owned());
    loop {
        let page =
            site.get(&format!("/api/events?streams=load-*&limit=1000&after={after}")).await.is(200).json();
        for event in page["events"].as_array().unwrap() {
            let writer = event["streamId"].as_str().unwrap().trim_start_matches("load-").parse().unwrap();
            let number = usize::try_from(event["data"]["number"].as_u64().unwrap()).unwrap();
            let place = (event["version"].as_i64().unwrap(), event["position"].as_i64().unwrap());
            assert_eq!(all.insert((writer, number), place), None, "{writer}-{number} is there once");
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return all,
        }
    }
}

#[test]
fn every_answer_of_a_server_that_stops_under_load_is_true() {
    for kind in BOTH {
        let mut site = Site::start(kind);
        let answers = Arc::new(AtomicUsize::new(0));
        let told: Told = block_on(async {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| tokio::spawn(writes(site.url.clone(), writer, Arc::clone(&answers))))
                .collect();
            while answers.load(Ordering::SeqCst) < ANSWERS {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            site.signal(rustix::process::Signal::TERM);
            let mut told = Told::new();
            for writer in writers {
                told.extend(writer.await.unwrap());
            }
            told
        });
        let (code, said) = site.ended();
        assert_eq!(code, Some(0), "{said}");
        let site = site.kill_and_restart();
        block_on(async {
            let before = stored(&site).await;
            for (request, answer) in &told {
                match answer {
                    Some((201, body)) => {
                        let place = (body["version"].as_i64().unwrap(), body["position"].as_i64().unwrap());
                        assert_eq!(before.get(request), Some(&place), "{request:?} was told to be there");
                        // Whoever asks again hears the same.
                        let again = write(&site.client, &site.url, *request).await;
                        assert_eq!(again, *answer, "{request:?}");
                    }
                    Some((status, problem)) if problem["outcome"] == "not-committed" => {
                        assert!(*status >= 500 && !before.contains_key(request), "{request:?} {problem}");
                    }
                    // Nobody knows; asking again settles it.
                    Some(_) | None => {
                        let (status, _) = write(&site.client, &site.url, *request).await.unwrap();
                        assert_eq!(status, 201, "{request:?}");
                    }
                }
            }
            let after = stored(&site).await;
            let settled = told.iter().filter(
                |(_, answer)| !matches!(answer, Some((_, problem)) if problem["outcome"] == "not-committed"),
            );
            let expected: Vec<_> = settled.map(|(request, _)| *request).collect();
            assert_eq!(after.keys().copied().collect::<Vec<_>>(), expected, "and nothing else");
        });
    }
}
