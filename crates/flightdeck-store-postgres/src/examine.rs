//! What there is to know about a store's installation, without changing anything of it: for whoever asks what is wrong.

use std::sync::Arc;

use flightdeck_migrations::POSTGRES;
use flightdeck_store::migrate::Access;
use flightdeck_store::{Groups, Standing, Step, StoreError};

use crate::migrate;
use crate::open::{Dialing, OpenError};
use crate::options::Options;
use crate::store::{PostgresStore, to_error};
use crate::whole::standing;

/// What was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// Which schema of which database of which server this is, however its URL is written; `None` where there is no such schema.
    pub identity: Option<String>,
    /// The server's version.
    pub version: String,
    /// Whether it is a standby.
    pub standby: bool,
    /// The settings that matter, by name.
    pub settings: Vec<(String, String)>,
    /// Who this is.
    pub role: String,
    /// Whether the role may do everything.
    pub superuser: bool,
    /// Whether the role may append.
    pub may_append: bool,
    /// Whether the role may change or delete what is in the log: more than a node needs.
    pub may_alter: bool,
    /// Whether the role may seal the store, and carry a log into it.
    pub may_seal: bool,
    /// Connections in use.
    pub connections: i64,
    /// By how many microseconds the server's clock is ahead of what [`Options::clock`] would say; the round trip is in it.
    pub clock_micros: i64,
    /// How old the oldest transaction is that keeps dead rows alive.
    pub oldest_snapshot_seconds: i64,
    /// Transactions that were begun and left alone, for longer than ten seconds.
    pub idle_in_transaction: i64,
    /// The migrations, and which of them the store has.
    pub steps: Vec<Step>,
    /// What the store is, as a whole; `None` where there is none.
    pub standing: Option<Standing>,
}

/// The settings that are looked at.
const SETTINGS: [&str; 7] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "synchronous_standby_names",
    "server_encoding",
    "max_connections",
    "data_checksums",
];

impl PostgresStore {
    /// Looks at the store behind `url`, and at its server. `now` is what time it is here, in microseconds since 1970.
    ///
    /// # Errors
    /// See [`OpenError`]: what could not be looked at at all.
    pub async fn examine(
        url: &str,
        options: &Options,
        now: impl Fn() -> i64 + Send,
    ) -> Result<Examined, OpenError> {
        let dialing = Dialing::new(url, options)?;
        let client = dialing.client().await?;
        let mut settings = Vec::new();
        let sql = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)";
        for row in client.query(sql, &[&SETTINGS.as_slice()]).await? {
            settings.push((row.try_get(0)?, row.try_get(1)?));
        }
        let before = now();
        let row =
            client.query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[]).await?;
        let clock_micros = row.try_get::<_, i64>(0)? - i64::midpoint(before, now());
        let sql = "SELECT current_setting('server_version'), pg_is_in_recovery(), current_user::text,
                     (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user),
                     (SELECT count(*) FROM pg_stat_activity),
                     (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::bigint
                      FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()),
                     (SELECT count(*) FROM pg_stat_activity a WHERE a.state LIKE 'idle in transaction%'
                      AND a.state_change < clock_timestamp() - interval '10 seconds'),
                     (SELECT concat_ws('-', extract(epoch FROM pg_postmaster_start_time()), d.oid, n.oid)
                      FROM pg_database d, pg_namespace n WHERE d.datname = current_database() AND n.nspname = $1)";
        let row = client.query_one(sql, &[&dialing.schema.as_str()]).await?;
        migrate::check_format(&client, &dialing.schema, Access::Look).await?;
        let steps = migrate::status(&client, &dialing.schema, POSTGRES).await?;
        let made = steps.iter().any(|step| step.applied.is_some());
        let (mut may_append, mut may_alter, mut may_seal) = (false, false, false);
        if made {
            let sql = "SELECT has_function_privilege(p.oid, 'EXECUTE'), has_table_privilege('fd_log', 'UPDATE, DELETE, TRUNCATE'),
                         has_table_privilege('fd_sequencer', 'UPDATE')
                       FROM pg_proc p WHERE p.proname = 'fd_append' AND p.pronamespace = current_schema()::regnamespace";
            let rights = client.query_one(sql, &[]).await?;
            (may_append, may_alter, may_seal) = (rights.try_get(0)?, rights.try_get(1)?, rights.try_get(2)?);
        }
        Ok(Examined {
            identity: row.try_get(7)?,
            version: row.try_get(0)?,
            standby: row.try_get(1)?,
            settings,
            role: row.try_get(2)?,
            superuser: row.try_get(3)?,
            may_append,
            may_alter,
            may_seal,
            connections: row.try_get(4)?,
            clock_micros,
            oldest_snapshot_seconds: row.try_get(5)?,
            idle_in_transaction: row.try_get(6)?,
            standing: match made {
                true => Some(standing(&client).await?),
                false => None,
            },
            steps,
        })
    }

    /// How the writer of this node commits.
    #[must_use]
    pub fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.options().groups)
    }

    /// How many bytes the tables of the store take, with their indexes.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                   WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace";
        let rows = self.session().await?.query(sql, &[]).await.map_err(to_error)?;
        let bytes = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()).unwrap_or(0);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}
