//! Who may come in, and to what: formats, settings, roles, TLS, and the command line. (F33, F34, F55, F60–F62)

use std::process::Command;
use std::time::{Duration, Instant};

use flightdeck_store::{Append, AppendError, EventStore as _, Fill as _, LogQuery, MigrateError, Reason};
use flightdeck_store_postgres::{Listen, OpenError, Options, PostgresStore};
use flightdeck_test_postgres::{Cluster, Settings};

use super::{Place, append_raw, connect, event};
use crate::doors::flightdeck;
use crate::victim::block_on;

/// What the binary says, and how it ends.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(flightdeck()).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn migrate_says_what_there_is_to_do_and_does_it_once() {
    let place = Place::new();
    let url = place.url();
    let migrate = |flags: &[&str]| run(&[&["migrate", "--store", &url], flags].concat());
    assert_eq!(migrate(&["--dry-run"]).1.lines().count(), 3);
    assert_eq!(migrate(&["--status"]).1.matches("pending").count(), 3, "a dry run makes nothing");
    let (code, text) = migrate(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("0001 log                  applied") && text.contains("up to date after 3 steps"),
        "{text}"
    );
    assert!(migrate(&[]).1.contains("is up to date"));
    assert_eq!(migrate(&["--dry-run"]).1, "nothing to do\n");
    assert_eq!(migrate(&["--status"]).1.matches(" applied 20").count(), 3);
}

#[test]
fn what_is_wrong_with_a_url_is_said_without_its_password() {
    for (url, code) in [
        ("postgres://me:canary@127.0.0.1:1/x?connect_timeout=1", 69),
        ("postgres://me:canary@127.0.0.1:notaport/x", 78),
        ("postgres://me:canary@127.0.0.1/x?schema=No-Name", 78),
        ("postgres://me:canary@127.0.0.1/x?sslrootcert=/no/such/file", 78),
    ] {
        let (found, text) = run(&["migrate", "--store", url]);
        assert_eq!(found, Some(code), "{url}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_store_of_a_newer_format_of_someone_else_or_of_other_steps_is_refused() {
    block_on(async {
        let place = Place::new();
        place.open().await.close().await;
        let raw = place.raw().await;
        raw.execute("UPDATE fd_meta SET value = '99' WHERE name = 'min_writer'", &[]).await.unwrap();
        let refused = PostgresStore::open(&place.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Migrate(MigrateError::TooNew { needed: 99 })), "{refused}");
        assert_eq!(run(&["migrate", "--store", &place.url()]).0, Some(78));
        raw.execute("UPDATE fd_meta SET value = '1' WHERE name = 'min_writer'", &[]).await.unwrap();
        raw.execute("UPDATE fd_migration SET checksum = sha256('edited') WHERE number = 2", &[])
            .await
            .unwrap();
        let refused = PostgresStore::open(&place.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Migrate(MigrateError::Edited { number: 2 })), "{refused}");

        // Whoever shares a schema's place with functions of others leaves them their rights.
        let shared = Place::new();
        let sql = format!(
            "CREATE SCHEMA {0}; CREATE FUNCTION {0}.theirs() RETURNS int LANGUAGE sql RETURN 1",
            shared.schema
        );
        raw.batch_execute(&sql).await.unwrap();
        shared.open().await.close().await;
        let sql = format!("SELECT has_function_privilege('public', '{}.theirs()', 'EXECUTE')", shared.schema);
        assert!(raw.query_one(&sql, &[]).await.unwrap().get::<_, bool>(0));

        let theirs = Place::new();
        let sql = format!("CREATE SCHEMA {0}; CREATE TABLE {0}.theirs (a int)", theirs.schema);
        raw.batch_execute(&sql).await.unwrap();
        let refused = PostgresStore::open(&theirs.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Migrate(MigrateError::Foreign)), "{refused}");
    });
}

#[test]
fn a_server_that_does_not_flush_is_refused_unless_asked_for_by_name() {
    let off = ("fsync".to_owned(), "off".to_owned());
    let cluster = Cluster::start(&Settings { extra: vec![off], ..Settings::default() }).unwrap();
    let place = Place::on(&cluster.url());
    block_on(async {
        let refused = PostgresStore::open(&place.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::UnsafeDurability { setting: "fsync", .. }), "{refused}");
        let (code, text) = run(&["migrate", "--store", &place.url()]);
        assert_eq!(code, Some(78), "{text}");
        let unsafe_is_fine = Options { allow_unsafe_durability: true, ..Options::default() };
        place.open_with(unsafe_is_fine).await.close().await;
    });
}

/// A setting that is changed while a node runs: the connections it has keep what they were opened with, and the next one is refused.
#[test]
fn durability_is_read_at_every_connect() {
    block_on(async {
        let place = Place::new();
        let raw = place.raw().await;
        let role = format!("{}_lazy", place.schema);
        raw.batch_execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).await.unwrap();
        let url = place.url().replace("flightdeck@", &format!("{role}@"));
        let patient = Options { answer_wait: Duration::from_secs(1), ..Options::default() };
        let node = PostgresStore::open(&url, patient).await.unwrap();
        node.append(Append::of([event(1)])).await.unwrap();
        raw.batch_execute(&format!("ALTER ROLE {role} SET synchronous_commit TO off")).await.unwrap();
        node.append(Append::of([event(2)])).await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        raw.query(sql, &[&role]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let refused = node.append(Append::of([event(3)])).await.unwrap_err();
        let AppendError::NotCommitted { reason: Reason::Unreachable, source: Some(why) } = refused else {
            panic!("{refused:?}")
        };
        assert!(why.to_string().contains("synchronous_commit = off"), "{why}");
        raw.batch_execute(&format!("ALTER ROLE {role} SET synchronous_commit TO on")).await.unwrap();
        assert_eq!(node.append(Append::of([event(3)])).await.unwrap().range.unwrap().0.get(), 3);
    });
}

#[test]
fn a_listener_that_hears_nothing_is_found_out_at_once() {
    block_on(async {
        let place = Place::new();
        // Like a pool that hands out connections by the transaction: it takes the LISTEN, and nothing ever comes.
        let (server, _) = place.server.rsplit_once('/').unwrap();
        let deaf = Listen::Url(format!("{server}/template1"));
        let refused = PostgresStore::open(&place.url(), Options { listen: deaf, ..Options::default() }).await;
        assert!(matches!(refused, Err(OpenError::NoNotifications)), "{refused:?}");
        // Who wants none is woken by looking.
        let poll = Duration::from_millis(20);
        let node = place.open_with(Options { listen: Listen::Never, poll, ..Options::default() }).await;
        let mut watch = node.watch();
        append_raw(&place.raw().await, 1).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.wait_for(|head| head.get() == 1))
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn roles_have_the_rights_they_need_and_no_others() {
    block_on(async {
        let place = Place::new();
        place.open().await.close().await;
        let raw = place.raw().await;
        let (writer, reader) = (format!("{}_writer", place.schema), format!("{}_reader", place.schema));
        raw.batch_execute(&format!(
            "CREATE ROLE {writer} LOGIN; CREATE ROLE {reader} LOGIN; SELECT fd_grant('{writer}', 'write'); SELECT fd_grant('{reader}', 'read')"
        ))
        .await
        .unwrap();
        let as_role = |role: &str| place.url().replace("flightdeck@", &format!("{role}@"));
        let node = PostgresStore::open(&as_role(&writer), Options::default()).await.unwrap();
        node.append(flightdeck_tests::append(1)).await.unwrap();
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 2);
        assert_eq!(node.verify().await.unwrap().problems, []);
        let looking = PostgresStore::open(&as_role(&reader), Options::default()).await.unwrap();
        assert_eq!(flightdeck_tests::whole_log(&looking).await.len(), 2);
        let refused = looking.append(Append::of([event(1)])).await.unwrap_err();
        assert!(matches!(refused, AppendError::NotCommitted { reason: Reason::ReadOnly, .. }), "{refused}");
        // What e-mail addresses are hidden by is not for readers.
        let secret = "SELECT length(secret) FROM fd_secret";
        for (role, may) in [(&writer, true), (&reader, false)] {
            let client =
                connect(&place.server.replace("flightdeck@", &format!("{role}@")), &place.schema).await;
            assert_eq!(client.query_one(secret, &[]).await.is_ok(), may, "{role}");
            let settle = client.execute("SELECT fd_settle(NULL, 0, NULL)", &[]).await;
            assert_eq!(settle.is_ok(), may, "{role} may decide about epochs");
        }
        for role in [&writer, &reader] {
            let client =
                connect(&place.server.replace("flightdeck@", &format!("{role}@")), &place.schema).await;
            for sql in [
                "UPDATE fd_log SET data = '{}'",
                "DELETE FROM fd_log",
                "TRUNCATE fd_log",
                "DROP TABLE fd_log",
                "ALTER TABLE fd_log DISABLE TRIGGER ALL",
                "INSERT INTO fd_tag VALUES ('a:b', 1)",
                "UPDATE fd_sequencer SET epoch = 'other'",
                "UPDATE fd_meta SET value = ''",
                "DELETE FROM fd_request",
                "CREATE TABLE other (a int)",
                "SET flightdeck.appends = 'yes'; INSERT INTO fd_type VALUES (99, 'Mine')",
                "SELECT fd_grant(current_user, 'write')",
            ] {
                let refused = client.batch_execute(sql).await.unwrap_err();
                assert_eq!(refused.code().unwrap().code(), "42501", "{role}: {sql}: {refused:?}");
            }
        }
    });
}

#[test]
fn tables_refuse_what_the_function_would_never_do_also_to_their_owner() {
    block_on(async {
        let place = Place::new();
        let node = place.open().await;
        for number in 0..9 {
            node.append(flightdeck_tests::append(number)).await.unwrap();
        }
        let raw = place.raw().await;
        for sql in [
            "UPDATE fd_log SET data = '{}' WHERE position = 3",
            "UPDATE fd_log SET version = 99 WHERE position = 3",
            "UPDATE fd_log SET hash = sha256('x') WHERE position = 3",
            "UPDATE fd_log SET data = NULL, tombstone = sha256('x') WHERE position = 3",
            "UPDATE fd_log SET data = NULL, tombstone = sha256(data), actor = 'me' WHERE position = 3",
            "DELETE FROM fd_log WHERE position = 18",
            "TRUNCATE fd_log CASCADE",
            "INSERT INTO fd_log SELECT * FROM fd_log WHERE position = 3 ON CONFLICT (position) DO UPDATE SET data = '{}'",
            "INSERT INTO fd_log SELECT 19, stream, 99, recorded, occurred, gen_random_uuid(), type, schema, 0, checksum, hash FROM fd_log LIMIT 1",
            "UPDATE fd_stream SET name = 'other-1' WHERE stream = 1",
            "UPDATE fd_stream SET version = version + 1 WHERE stream = 1",
            "DELETE FROM fd_stream",
            "UPDATE fd_type SET name = 'Other'",
            "DELETE FROM fd_type",
            "UPDATE fd_tag SET tag = 'of:other'",
            "DELETE FROM fd_tag",
            "INSERT INTO fd_tag VALUES ('of:other', 1)",
            "UPDATE fd_request SET first = 1",
            "DELETE FROM fd_request",
            "DELETE FROM fd_sequencer",
        ] {
            assert!(raw.batch_execute(sql).await.is_err(), "this was taken: {sql}");
        }
        assert_eq!(node.verify().await.unwrap().problems, []);
        // The one change there is: data gives way to its tombstone, and the chain stays.
        let sql = "UPDATE fd_log SET data = NULL, tombstone = sha256(data) WHERE position = 5";
        assert_eq!(raw.execute(sql, &[]).await.unwrap(), 1);
        assert_eq!(node.verify().await.unwrap().problems, []);
        let log = flightdeck_tests::whole_log(&node).await;
        assert!(log[4].data.json().is_none() && log.len() == 18);
        assert!(node.append(flightdeck_tests::append(2)).await.unwrap().duplicate, "and is still known");
    });
}

#[test]
fn tls_is_checked_against_the_certificates_that_are_named() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    let file = |name: &str| std::fs::read_to_string(format!("{fixtures}/{name}")).unwrap();
    let settings = Settings {
        extra: vec![("ssl".to_owned(), "on".to_owned())],
        files: vec![
            ("server.crt".to_owned(), file("server.pem")),
            ("server.key".to_owned(), file("server.key")),
        ],
    };
    let cluster = Cluster::start(&settings).unwrap();
    let place = Place::on(&cluster.url());
    block_on(async {
        let secure = format!("{}&sslmode=require&sslrootcert={fixtures}/ca.pem", place.url());
        let node = PostgresStore::open(&secure, Options::default()).await.unwrap();
        node.append(Append::of([event(1)])).await.unwrap();
        let raw = place.raw().await;
        let sql = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE s.ssl AND a.application_name = 'flightdeck'";
        // The one that listens is made beside everything else.
        super::eventually("writer and listener are encrypted", || async {
            raw.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= 2
        })
        .await;
        // Asked for, and not to be had from a server whose certificate nobody vouches for.
        let unknown = format!("{}&sslmode=require", place.url());
        let refused = PostgresStore::open(&unknown, Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Unreachable(_)), "{refused}");
    });
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://flightdeck@{}/x", silent.local_addr().unwrap());
    let options = Options { connect_wait: Duration::from_millis(300), ..Options::default() };
    let begin = Instant::now();
    let refused = block_on(PostgresStore::open(&url, options)).unwrap_err();
    assert!(
        matches!(refused, OpenError::Unreachable(_)) && begin.elapsed() < Duration::from_secs(3),
        "{refused}"
    );
}

#[test]
fn readers_that_go_away_leave_nothing_for_the_next() {
    block_on(async {
        let place = Place::new();
        let node = place.open_with(Options { readers: 2, ..Options::default() }).await;
        for number in 0..50 {
            node.append(Append::of([event(number)])).await.unwrap();
        }
        for round in 0..200_u64 {
            // Dropped at some moment of its way.
            let wait = Duration::from_micros(round * 10);
            drop(tokio::time::timeout(wait, node.read_log(&LogQuery::default())).await);
            assert_eq!(node.head().await.unwrap().cursor.position().get(), 50);
        }
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 50);
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flightdeck' AND state LIKE 'idle in transaction%' AND query LIKE '%FROM fd_head h%'";
        assert_eq!(place.raw().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    });
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    block_on(async {
        let place = Place::new();
        let database = format!("{}_latin", place.schema);
        let sql = format!(
            "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        place.raw().await.batch_execute(&sql).await.unwrap();
        let (server, _) = place.server.rsplit_once('/').unwrap();
        let refused =
            PostgresStore::open(&format!("{server}/{database}"), Options::default()).await.unwrap_err();
        assert!(matches!(&refused, OpenError::Encoding { found } if found == "LATIN1"), "{refused}");
    });
}

#[test]
fn a_store_that_is_closed_keeps_no_connection() {
    block_on(async {
        let place = Place::new();
        let url = format!("{}&application_name={}", place.url(), place.schema);
        let node = PostgresStore::open(&url, Options::default()).await.unwrap();
        node.append(Append::of([event(1)])).await.unwrap();
        let raw = place.raw().await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let open = || async { raw.query_one(sql, &[&place.schema]).await.unwrap().get::<_, i64>(0) };
        super::eventually("one writes, and one listens", || async { open().await > 1 }).await;
        node.close().await;
        super::eventually("all are gone", || async { open().await == 0 }).await;
        drop(node);
    });
}

/// Whoever owns a database need not be the server's superuser to make a store in it, to carry a log there, and to move it away.
#[test]
fn an_owner_without_special_rights_makes_fills_and_seals_a_store() {
    block_on(async {
        let place = Place::new();
        let role = format!("{}_owner", place.schema);
        let database = format!("{}_owned", place.schema);
        let raw = place.raw().await;
        raw.batch_execute(&format!("CREATE ROLE {role} LOGIN NOSUPERUSER")).await.unwrap();
        raw.batch_execute(&format!("CREATE DATABASE {database} OWNER {role}")).await.unwrap();
        let (server, _) = place.server.rsplit_once('/').unwrap();
        let url = format!("{}/{database}", server.replace("flightdeck@", &format!("{role}@")));
        let node = PostgresStore::open(&url, Options::default()).await.unwrap();
        for number in 0..3 {
            node.append(Append::of([event(number)])).await.unwrap();
        }
        assert_eq!(node.verify().await.unwrap().problems, []);
        let fill = PostgresStore::fill(&format!("{url}?schema=other"), Options::default()).await.unwrap();
        fill.add_events(flightdeck_tests::whole_log(&node).await).await.unwrap();
        fill.finish(None, node.secret().await.unwrap()).await.unwrap();
        PostgresStore::seal_off(&url, &Options::default(), "elsewhere").await.unwrap();
        let refused = node.append(Append::of([event(9)])).await.unwrap_err();
        assert!(matches!(refused, AppendError::NotCommitted { reason: Reason::ReadOnly, .. }), "{refused}");
    });
}
