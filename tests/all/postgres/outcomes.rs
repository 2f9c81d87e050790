//! What is said of an append while nobody can know: answers that are lost or late, standbys that are gone, groups that others
//! were in the way of. (P2, F42, F44, F50, F59, F61)

use std::time::{Duration, Instant};

use flightdeck_core::{Position, StreamId};
use flightdeck_store::{Append, AppendError, EventStore as _, Expected, Outcome, Reason, RequestKey};
use flightdeck_store_postgres::{Listen, Options, PostgresStore};
use flightdeck_test_postgres::{Cluster, Settings};

use super::proxy::{Passes, Proxy, port_of};
use super::{Place, connect, event, eventually};
use crate::victim::block_on;

/// A node whose wire goes through a proxy, and that waits no longer than a second.
async fn behind(proxy: &Proxy, place: &Place) -> PostgresStore {
    let url = format!("{}?schema={}", proxy.url(&place.server), place.schema);
    let second = Duration::from_secs(1);
    let options =
        Options { listen: Listen::Never, answer_wait: second, connect_wait: second, ..Options::default() };
    PostgresStore::open(&url, options).await.unwrap()
}

async fn head(client: &tokio_postgres::Client) -> i64 {
    client.query_one("SELECT position FROM fd_head", &[]).await.unwrap().get(0)
}

/// Committed, and the answer was lost on its way; then someone is in the way of asking again.
#[test]
fn what_was_committed_is_never_called_not_committed() {
    block_on(async {
        let place = Place::new();
        let proxy = Proxy::to(port_of(&place.server)).await;
        let node = behind(&proxy, &place).await;
        node.append(Append::of([event(1)])).await.unwrap();
        let raw = place.raw().await;
        proxy.passes(Passes::Questions);
        let asking = node.clone();
        let asked = tokio::spawn(async move { asking.append(Append::of([event(2)])).await });
        eventually("it is committed", || async { head(&raw).await == 2 }).await;
        raw.batch_execute("BEGIN; SELECT * FROM fd_sequencer FOR UPDATE").await.unwrap();
        proxy.cut();
        proxy.mend();
        let said = asked.await.unwrap().unwrap_err();
        assert_eq!(said.outcome(), Outcome::Unknown, "{said}");
        raw.batch_execute("ROLLBACK").await.unwrap();

        // With nobody in the way, asking again finds what was done: once.
        proxy.passes(Passes::Questions);
        let asking = node.clone();
        let asked = tokio::spawn(async move { asking.append(Append::of([event(3)])).await });
        eventually("it is committed", || async { head(&raw).await == 3 }).await;
        proxy.cut();
        proxy.mend();
        assert_eq!(asked.await.unwrap().unwrap().range.unwrap().0.get(), 3);
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 3);
    });
}

/// A call that arrives after its caller was refused: what it meets then is not what its repetition met.
#[test]
fn a_refusal_is_none_while_an_earlier_copy_of_the_call_is_on_its_way() {
    block_on(async {
        let place = Place::new();
        let proxy = Proxy::to(port_of(&place.server)).await;
        let node = behind(&proxy, &place).await;
        node.append(Append::of([event(1)])).await.unwrap();
        let base = StreamId::new("raw-2").unwrap();
        let late = Append::of([event(9)]).expecting(base, Expected::Exists);
        let through = proxy.through();
        proxy.passes(Passes::Late);
        let asking = node.clone();
        let asked = tokio::spawn(async move { asking.append(late).await });
        // The next connection is let through, while the first copy of the call is still held back.
        eventually("it connects again", || async { proxy.through() > through }).await;
        let direct = place.open().await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let said = asked.await.unwrap().unwrap_err();
        assert_eq!(said.outcome(), Outcome::Unknown, "{said}");
        direct.append(Append::of([event(2)])).await.unwrap();
        proxy.mend();
        eventually("the late copy arrives", || async {
            direct.head().await.unwrap().cursor.position().get() == 3
        })
        .await;
    });
}

/// A black hole: the peer acknowledges nothing and closes nothing.
#[test]
fn a_server_that_falls_silent_holds_nobody_up_for_long() {
    block_on(async {
        let place = Place::new();
        let proxy = Proxy::to(port_of(&place.server)).await;
        let node = behind(&proxy, &place).await;
        node.append(Append::of([event(1)])).await.unwrap();
        proxy.passes(Passes::Silence);
        let begin = Instant::now();
        let (appended, read) = tokio::join!(node.append(Append::of([event(2)])), node.head());
        let said = appended.unwrap_err();
        assert_eq!(said.outcome(), Outcome::Unknown, "nobody knows whether it arrived: {said}");
        assert!(read.is_err());
        let second = node.append(Append::of([event(3)])).await.unwrap_err();
        assert_eq!(second.outcome(), Outcome::NotCommitted, "it was never sent: {second}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        proxy.mend();
        let begin = Instant::now();
        eventually("it goes on", || async { node.append(Append::of([event(4)])).await.is_ok() }).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(flightdeck_tests::whole_log(&node).await.len() >= 2);
        assert_eq!(node.verify().await.unwrap().problems, []);
    });
}

/// A commit that waits for a standby is written, and can't be seen: no look settles anything until the standby answers.
#[test]
fn while_a_standby_is_gone_everything_that_may_be_committed_is_unknown() {
    let cluster = Cluster::start(&Settings::default()).unwrap();
    let place = Place::on(&cluster.url());
    block_on(async {
        let options = Options { answer_wait: Duration::from_secs(1), ..Options::default() };
        let node = place.open_with(options).await;
        node.append(Append::of([event(1)])).await.unwrap();
        let raw = connect(&cluster.url(), &place.schema).await;
        raw.batch_execute("SET synchronous_commit TO local").await.unwrap();
        raw.batch_execute("ALTER SYSTEM SET synchronous_standby_names TO 'gone'").await.unwrap();
        raw.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the server waits for a standby", || async {
            let names = raw.query_one("SHOW synchronous_standby_names", &[]).await.unwrap();
            names.get::<_, &str>(0) == "gone"
        })
        .await;
        let key = RequestKey::new("me", "once", [7; 32]).unwrap();
        let append = || Append::of([event(2)]).with_request(key.clone());
        let first = node.append(append()).await.unwrap_err();
        assert_eq!(first.outcome(), Outcome::Unknown, "{first}");
        assert!(first.retry_helps());
        let again = node.append(append()).await.unwrap_err();
        assert_eq!(again.outcome(), Outcome::Unknown, "whoever is in front may be itself: {again}");
        let other = node.append(Append::of([event(3)])).await.unwrap_err();
        assert!(matches!(other, AppendError::NotCommitted { reason: Reason::Busy, .. }), "{other}");
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 1, "reads wait for nobody");
        raw.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
        raw.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("it is settled", || async { node.append(append()).await.is_ok() }).await;
        let settled = node.append(append()).await.unwrap();
        assert!(settled.duplicate && settled.cursor.position() == Position::new(2).unwrap(), "{settled:?}");
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 2);
    });
}

/// What the database takes back because others were in the way is sent again, whole, and done once.
#[test]
fn a_group_that_others_were_in_the_way_of_is_tried_again_whole() {
    block_on(async {
        let place = Place::new();
        let node = place.open().await;
        let raw = place.raw().await;
        for (code, tries) in [("40001", 3), ("40P01", 3), ("55P03", 3), ("40001", 1_000)] {
            // A sequence is not taken back with its transaction, so it counts the tries.
            raw.batch_execute(&format!(
                "CREATE SEQUENCE tries; CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF nextval('{0}.tries') <= {tries} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF;
                   RETURN NULL; END $$;
                 CREATE TRIGGER trip AFTER INSERT ON fd_log FOR EACH STATEMENT EXECUTE FUNCTION trip();",
                place.schema
            ))
            .await
            .unwrap();
            let before = head(&raw).await;
            let number = u128::try_from(before).unwrap() + 1;
            let appends = (number..number + 4).map(|number| node.append(Append::of([event(number)])));
            let done = futures_util::future::join_all(appends).await;
            let tried: i64 = raw.query_one("SELECT last_value FROM tries", &[]).await.unwrap().get(0);
            if tries < 10 {
                assert!(done.iter().all(Result::is_ok), "{code}: {done:?}");
                assert_eq!(head(&raw).await, before + 4, "{code}");
                assert!(tried > tries, "{code}: tried {tried} times");
            } else {
                for refused in done {
                    let refused = refused.unwrap_err();
                    assert!(
                        matches!(refused, AppendError::NotCommitted { reason: Reason::Busy, .. }),
                        "{refused}"
                    );
                }
                assert_eq!(head(&raw).await, before);
            }
            raw.batch_execute("DROP TRIGGER trip ON fd_log; DROP FUNCTION trip; DROP SEQUENCE tries")
                .await
                .unwrap();
        }
        assert_eq!(node.verify().await.unwrap().problems, []);
    });
}
