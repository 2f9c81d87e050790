-- The generations of views: which tables each has, how far it is folded, and who folds it.
--
-- The rows of a view lie in tables of their own, which are made and dropped as generations come and go. Those of the
-- generation that serves have the names that the view declares; those of every other are called fd_view_{id}_{place}. Which
-- is which changes in one transaction with `serving`, so that one statement that reads both this table and a view's can prove
-- whose rows it read.

CREATE TABLE fd_projection (
  -- What the tables and indexes of the generation are named after.
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  view text COLLATE "C" NOT NULL,
  number bigint NOT NULL CHECK (number > 0),
  build bigint NOT NULL CHECK (build > 0),
  -- Of what is kept and what is read: it never changes under a number.
  fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
  -- The tables as they were declared, as JSON.
  plan text NOT NULL,
  -- It has caught up once, and can be asked.
  ready boolean NOT NULL DEFAULT false,
  -- Its tables have the names that were declared.
  serving boolean NOT NULL DEFAULT false,
  paused boolean NOT NULL DEFAULT false,
  -- It has all its indexes: while it is folded for the first time, they would only be in the way.
  indexed boolean NOT NULL DEFAULT false,
  -- Everything up to here is folded in.
  position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
  -- The last event that was there to be folded, and its hash.
  folded bigint,
  hash bytea CHECK (length(hash) = 32),
  -- Why it does not go on, as JSON.
  halt text,
  -- The positions of events that it was told to leave out, as JSON.
  skips text NOT NULL DEFAULT '[]',
  -- Who folds it, and until when. The token rises whenever that changes hands.
  token bigint NOT NULL DEFAULT 0,
  holder text,
  until timestamptz,
  -- When a program last said that it wants it.
  wanted timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (view, number, build),
  CHECK (ready OR NOT serving),
  CHECK ((folded IS NULL) = (hash IS NULL))
) WITH (
  -- A few rows that change with every piece of work. None of what changes is indexed, so a page with room takes their new
  -- versions, and whoever comes by cleans up the old ones.
  fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);

-- Of each view one serves, or none.
CREATE UNIQUE INDEX fd_projection_serving ON fd_projection (view) WHERE serving;

-- As before, and for views: whoever may `read` or `write` may read them, and `fold` is to write, and to make their tables. Who
-- folds owns the tables of views, and still nothing of the log. Tables to come are for whoever may read fd_projection then; those
-- that are there, for the new role as far as they are the grantor's.
CREATE OR REPLACE FUNCTION fd_grant(to_role text, may text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  of_view text;
BEGIN
  IF may NOT IN ('read', 'write', 'fold') THEN
    RAISE EXCEPTION 'a role may read, write or fold, not %', may USING ERRCODE = '22023';
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), to_role);
  EXECUTE format('GRANT SELECT ON fd_migration, fd_meta, fd_sequencer, fd_head, fd_stream, fd_type, fd_log, fd_tag, fd_request, fd_snapshot, fd_projection TO %I', to_role);
  EXECUTE format('GRANT EXECUTE ON FUNCTION fd_count_to, fd_require, fd_stream_checksum, fd_request_checksum, fd_history TO %I', to_role);
  FOR of_view IN
    SELECT t.tablename FROM pg_tables t
    WHERE t.schemaname = current_schema() AND (t.tablename NOT LIKE 'fd\_%' OR t.tablename LIKE 'fd\_view\_%')
      AND pg_has_role(t.tableowner, 'USAGE')
  LOOP
    EXECUTE format('GRANT SELECT ON %I TO %I', of_view, to_role);
  END LOOP;
  IF may IN ('write', 'fold') THEN
    EXECUTE format('GRANT EXECUTE ON FUNCTION fd_append, fd_matches, fd_settle TO %I', to_role);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON fd_snapshot TO %I', to_role);
    EXECUTE format('GRANT SELECT ON fd_secret TO %I', to_role);
  END IF;
  IF may = 'fold' THEN
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON fd_projection TO %I', to_role);
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO %I', current_schema(), to_role);
  END IF;
END
$$;
