-- The log: streams, event types, events, tags, remembered requests, and what the store knows of itself.
--
-- The same tables as on SQLite, and the same meaning: numbers stand for names, times are microseconds since 1970 in
-- UTC. Texts sort by their bytes. A checksum is the first 8 bytes of a SHA-256, for that is what the database can
-- take by itself; it is compared at every read. Whoever appends locks the sequencer first, so that positions are given
-- in the order of commits, on however many nodes. The triggers hold what the function below promises, also
-- against other programs.

CREATE TABLE fd_meta (
  name text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

-- What a program must know to read, and to write, this store.
INSERT INTO fd_meta (name, value) VALUES ('min_reader', '1'), ('min_writer', '1');

-- What the HMACs of e-mail addresses are keyed with. A table of its own: whoever may only read must not see it.
CREATE TABLE fd_secret (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  secret bytea NOT NULL CHECK (length(secret) = 32)
);

INSERT INTO fd_secret (secret)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- One row: the sequencer, and the epoch. Every group locks it, and none changes it: a row that changed with each would leave
-- a dead version behind each time, and as long as someone holds an old snapshot (a dump, a report) every look
-- at the row would go through all of them.
CREATE TABLE fd_sequencer (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch text COLLATE "C" NOT NULL,
  -- NULL: in use. `filling`: a log is being carried into the store; `moved …`: it is elsewhere now.
  state text COLLATE "C"
);

INSERT INTO fd_sequencer (epoch) VALUES (left(replace(gen_random_uuid()::text, '-', ''), 12));

CREATE TABLE fd_stream (
  stream bigint PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  category text COLLATE "C" NOT NULL GENERATED ALWAYS AS (split_part(name, '-', 1)) STORED,
  version bigint NOT NULL CHECK (version > 0),
  created bigint NOT NULL,
  updated bigint NOT NULL,
  checksum bytea NOT NULL CHECK (length(checksum) = 8)
) WITH (fillfactor = 70);

CREATE TABLE fd_type (
  type integer PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE fd_log (
  position bigint PRIMARY KEY,
  stream bigint NOT NULL,
  version bigint NOT NULL,
  recorded bigint NOT NULL,
  occurred bigint,
  id uuid NOT NULL UNIQUE,
  type integer NOT NULL,
  schema integer NOT NULL,
  -- How many events of the same append stand behind this one.
  append_rest integer NOT NULL,
  checksum bytea NOT NULL CHECK (length(checksum) = 8),
  hash bytea NOT NULL CHECK (length(hash) = 32),
  -- Reserved: the key that personal fields are encrypted with.
  key bytea CHECK (length(key) = 16),
  actor text,
  correlation text,
  causation text,
  -- One a line, in the order of their bytes.
  tags text,
  -- SHA-256 of data that is gone.
  tombstone bytea CHECK (length(tombstone) = 32),
  further bytea,
  data bytea CHECK ((data IS NULL) <> (tombstone IS NULL)),
  UNIQUE (stream, version)
);

-- Where the log ends: in one statement with events, of the same moment as they are.
CREATE VIEW fd_head AS
SELECT q.epoch, coalesce(l.position, 0) AS position, coalesce(l.hash, decode(repeat('00', 32), 'hex')) AS hash
FROM fd_sequencer q LEFT JOIN LATERAL (SELECT n.position, n.hash FROM fd_log n ORDER BY n.position DESC LIMIT 1) l ON true;

CREATE TABLE fd_tag (
  tag text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (tag, position)
);

-- What was done under a request key: the events from `first` to `last`; none when `first` is behind `last`.
CREATE TABLE fd_request (
  caller text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
  first bigint NOT NULL,
  last bigint NOT NULL,
  checksum bytea NOT NULL CHECK (length(checksum) = 8),
  PRIMARY KEY (caller, key)
);

-- What a row's checksum is taken over.
CREATE FUNCTION fd_checksum(content bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(sha256(content), 1, 8);

CREATE FUNCTION fd_stream_checksum(stream bigint, version bigint, created bigint, updated bigint, name text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(sha256(int8send(stream) || int8send(version) || int8send(created) || int8send(updated) || convert_to(name, 'UTF8')), 1, 8);

CREATE FUNCTION fd_request_checksum(caller text, key text, fingerprint bytea, first bigint, last bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(sha256(convert_to(caller || E'\n' || key || E'\n', 'UTF8') || fingerprint || int8send(first) || int8send(last)), 1, 8);

-- Says that what was read is damaged, unless it is whole.
CREATE FUNCTION fd_require(whole boolean, what text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF whole THEN
    RETURN true;
  END IF;
  RAISE EXCEPTION '% is damaged', what USING ERRCODE = 'FD001';
END
$$;

-- The triggers. What their conditions cost is a comparison; the function behind them only says no.
CREATE FUNCTION fd_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'FD002';
END
$$;

-- What belongs to the log is only added by the function below, which says so in a setting of its own. Whoever sets it by
-- hand knows what they do; whoever inserts by mistake is refused.
CREATE TRIGGER fd_log_is_appended_to BEFORE INSERT ON fd_log
FOR EACH STATEMENT WHEN (current_setting('flightdeck.appends', true) IS DISTINCT FROM 'yes')
EXECUTE FUNCTION fd_refuse('events are appended by fd_append, and in no other way');

CREATE TRIGGER fd_stream_is_appended_to BEFORE INSERT ON fd_stream
FOR EACH STATEMENT WHEN (current_setting('flightdeck.appends', true) IS DISTINCT FROM 'yes')
EXECUTE FUNCTION fd_refuse('streams begin by fd_append, and in no other way');

CREATE TRIGGER fd_tag_is_appended_to BEFORE INSERT ON fd_tag
FOR EACH STATEMENT WHEN (current_setting('flightdeck.appends', true) IS DISTINCT FROM 'yes')
EXECUTE FUNCTION fd_refuse('tags come with their events, and in no other way');

CREATE TRIGGER fd_log_never_loses BEFORE DELETE ON fd_log
FOR EACH ROW EXECUTE FUNCTION fd_refuse('no event is ever deleted');

CREATE TRIGGER fd_log_is_never_emptied BEFORE TRUNCATE ON fd_log
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('no event is ever deleted');

-- The one change there is: data gives way to a tombstone that holds its SHA-256.
CREATE TRIGGER fd_log_never_changes BEFORE UPDATE ON fd_log
FOR EACH ROW WHEN (NOT (
  OLD.data IS NOT NULL AND NEW.data IS NULL AND NEW.tombstone = sha256(OLD.data)
  AND (NEW.position, NEW.stream, NEW.version, NEW.recorded, NEW.id, NEW.type, NEW.schema, NEW.append_rest, NEW.hash, NEW.checksum)
    = (OLD.position, OLD.stream, OLD.version, OLD.recorded, OLD.id, OLD.type, OLD.schema, OLD.append_rest, OLD.hash, OLD.checksum)
  AND (NEW.occurred, NEW.key, NEW.actor, NEW.correlation, NEW.causation, NEW.tags, NEW.further)
    IS NOT DISTINCT FROM (OLD.occurred, OLD.key, OLD.actor, OLD.correlation, OLD.causation, OLD.tags, OLD.further)
)) EXECUTE FUNCTION fd_refuse('no event ever changes');

CREATE TRIGGER fd_stream_keeps_its_name BEFORE UPDATE ON fd_stream
FOR EACH ROW WHEN (
  current_setting('flightdeck.appends', true) IS DISTINCT FROM 'yes' OR
  NEW.stream <> OLD.stream OR NEW.name <> OLD.name OR NEW.created <> OLD.created OR NEW.version <= OLD.version
) EXECUTE FUNCTION fd_refuse('a stream keeps its name and only grows');

CREATE TRIGGER fd_stream_never_goes BEFORE DELETE OR TRUNCATE ON fd_stream
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('no stream is ever deleted');

CREATE TRIGGER fd_type_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON fd_type
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('no event type ever changes');

CREATE TRIGGER fd_tag_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON fd_tag
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('no tag ever changes');

CREATE TRIGGER fd_request_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON fd_request
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('no remembered request ever changes');

CREATE TRIGGER fd_sequencer_never_goes BEFORE DELETE OR TRUNCATE ON fd_sequencer
FOR EACH STATEMENT EXECUTE FUNCTION fd_refuse('a log has a sequencer');

-- The first event behind `c_after` that matches each item of a condition, for those that have one.
CREATE FUNCTION fd_matches(c_tags text[], c_types text[], c_after bigint[]) RETURNS TABLE (place bigint, "position" bigint)
LANGUAGE sql STABLE AS $$
  SELECT i.place, min(found.position)
  FROM (
    SELECT c.place, string_to_array(c.tags, E'\n') AS tags, string_to_array(c.types, E'\n') AS types, c.after
    FROM unnest(c_tags, c_types, c_after) WITH ORDINALITY c(tags, types, after, place)
  ) i CROSS JOIN LATERAL (
    (SELECT g.position FROM fd_tag g
     WHERE i.tags IS NOT NULL AND g.tag = i.tags[1] AND g.position > i.after
       AND (cardinality(i.tags) = 1 OR NOT EXISTS (
         SELECT 1 FROM unnest(i.tags) o(tag)
         WHERE NOT EXISTS (SELECT 1 FROM fd_tag h WHERE h.tag = o.tag AND h.position = g.position)))
       AND (i.types IS NULL OR EXISTS (
         SELECT 1 FROM fd_log l JOIN fd_type ty ON ty.type = l.type WHERE l.position = g.position AND ty.name = ANY (i.types)))
     ORDER BY g.position LIMIT 1)
    UNION ALL
    (SELECT l.position FROM fd_log l
     WHERE i.tags IS NULL AND l.position > i.after
       AND (i.types IS NULL OR l.type = ANY (ARRAY(SELECT ty.type FROM fd_type ty WHERE ty.name = ANY (i.types))))
     ORDER BY l.position LIMIT 1)
  ) found GROUP BY i.place
$$;

-- Appends a group: the one way into the log. Everything in it is one transaction, and happens in the order given.
--
-- `a_…` has an entry for every append, `e_…` one for every event, in the order of the appends; `s_names` and
-- `t_names` name each stream and type of the group once, and whatever speaks of one gives its place there. An
-- expectation (`x_…`) is -1 for no stream, 0 for any that exists, else the exact version. A condition's item (`c_…`)
-- has its tags and types one a line, NULL for none, and how far the caller has looked already, in the epoch that it
-- knows; `w_…` says which events of the same group would match the
-- condition of a later append, should they be written. Items, expectations and matches stand in the order of
-- their appends. What the caller can prepare of an event's digest is in `e_sealed`. `known_…` is the newest event that
-- the caller has seen, in its epoch: the log must not end before it, nor with another hash there.
--
-- Answers with an entry for every append. `verdict`: 0 written, 1 done before under this request key, 2 key used for
-- something else, 3 done before under these ids, 4 id used for something else (`detail`: which event), 5 conflict
-- (`detail`: which expectation, `first`: the actual version), 6 condition failed (`detail`: the position),
-- 7 stale decision, 8 another epoch, 9 ahead of the log. `first` and `last` are the positions; for an append of
-- nothing `last` is the head. `versions` has an entry for every event: the version it got.
CREATE FUNCTION fd_append(
  given_now bigint, known_epoch text, known_position bigint, known_hash bytea,
  s_names text[], t_names text[],
  a_events integer[], a_caller text[], a_key text[], a_fingerprint bytea[], a_after bigint[], a_epoch text[],
  x_append integer[], x_stream integer[], x_version bigint[],
  c_append integer[], c_tags text[], c_types text[], c_looked bigint[],
  w_append integer[], w_event integer[],
  e_stream integer[], e_type integer[], e_schema integer[], e_id uuid[], e_given boolean[], e_actor text[],
  e_correlation text[], e_causation text[], e_occurred bigint[], e_tags text[], e_further bytea[], e_data bytea[],
  e_sealed bytea[], e_rest integer[],
  g_event integer[], g_tag text[],
  OUT epoch text, OUT head bigint, OUT head_hash bytea,
  OUT verdict integer[], OUT first bigint[], OUT last bigint[], OUT detail bigint[], OUT versions bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  stale_events CONSTANT bigint := 100000;
  appends CONSTANT integer := cardinality(a_events);
  events CONSTANT integer := cardinality(e_stream);
  sealed bytea[] := e_sealed;
  standing text;
  begun bigint;                  -- the head before the group
  link bytea;                    -- the hash of the last event
  recorded bigint;
  now_bytes bytea;
  s_number bigint[];
  s_before bigint[];
  s_version bigint[];
  streams_last bigint;
  t_number integer[];
  types_last integer;
  r_first bigint[];
  r_last bigint[];
  r_same boolean[];
  k_position bigint[];           -- where an event with that id is, and whether it is the same
  k_same boolean[];
  c_match bigint[];
  w_count CONSTANT integer := cardinality(w_append);
  x_count CONSTANT integer := cardinality(x_append);
  o_position bigint[] := array_fill(0::bigint, ARRAY[events]);
  o_hash bytea[] := array_fill(''::bytea, ARRAY[events]);
  o_digest bytea[] := array_fill(''::bytea, ARRAY[events]);
  a integer;
  e integer;
  e_last integer := 0;
  e_first integer;
  x integer := 1;
  w integer := 1;
  s integer;
  v bigint;
  from_known bigint;
  to_known bigint;
  unknown boolean;
  whole boolean;
  end_bytes bytea;
BEGIN
  -- Within this transaction, and taken back below. As a setting of the function only a superuser could have made it.
  PERFORM set_config('flightdeck.appends', 'yes', true);
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'appending needs READ COMMITTED: under any other level a check could miss what was committed' USING ERRCODE = 'FD003';
  END IF;

  -- The sequencer. Every statement behind this one sees all that was committed before.
  SELECT q.epoch, q.state INTO STRICT epoch, standing FROM fd_sequencer q FOR UPDATE;
  IF standing IS NOT NULL THEN
    RAISE EXCEPTION 'the store takes no appends: %', standing USING ERRCODE = 'FD004';
  END IF;
  SELECT l.position, l.hash, l.recorded INTO begun, link, recorded FROM fd_log l ORDER BY l.position DESC LIMIT 1;
  begun := coalesce(begun, 0);
  link := coalesce(link, decode(repeat('00', 32), 'hex'));
  IF known_epoch = epoch AND (known_position > begun OR (known_position = begun AND known_hash <> link)) THEN
    RAISE EXCEPTION 'the log does not end as it did' USING ERRCODE = 'FD001', DETAIL = known_position::text;
  END IF;

  -- What is known of the streams and types.
  SELECT array_agg(q.stream), array_agg(coalesce(q.version, 0)), bool_and(q.whole), ARRAY(
      SELECT ty.type FROM unnest(t_names) WITH ORDINALITY n(name, place) LEFT JOIN fd_type ty ON ty.name = n.name ORDER BY n.place)
  INTO s_number, s_before, whole, t_number
  FROM (
    SELECT st.stream, st.version, st.checksum = fd_stream_checksum(st.stream, st.version, st.created, st.updated, st.name) AS whole
    FROM unnest(s_names) WITH ORDINALITY n(name, place) LEFT JOIN fd_stream st ON st.name = n.name ORDER BY n.place
  ) q;
  IF NOT whole THEN
    RAISE EXCEPTION 'the row of a stream is damaged' USING ERRCODE = 'FD001';
  END IF;
  s_version := s_before;
  head := begun;
  recorded := greatest(recorded, coalesce(given_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint));
  now_bytes := int8send(recorded);
  verdict := array_fill(0, ARRAY[appends]);
  first := array_fill(0::bigint, ARRAY[appends]);
  last := first;
  detail := first;
  versions := o_position;

  -- What was done before.
  IF cardinality(a_key) > 0 THEN
    SELECT array_agg(r.first ORDER BY n.place), array_agg(r.last ORDER BY n.place),
      array_agg(r.fingerprint = n.fingerprint ORDER BY n.place),
      bool_and(r.checksum = fd_request_checksum(r.caller, r.key, r.fingerprint, r.first, r.last))
    INTO r_first, r_last, r_same, whole
    FROM unnest(a_caller, a_key, a_fingerprint) WITH ORDINALITY n(caller, key, fingerprint, place)
    LEFT JOIN fd_request r ON r.caller = n.caller AND r.key = n.key;
    IF NOT whole THEN
      RAISE EXCEPTION 'what is remembered of a request is damaged' USING ERRCODE = 'FD001';
    END IF;
  END IF;
  IF true = ANY (e_given) THEN
    SELECT array_agg(l.position ORDER BY n.place), array_agg(coalesce(
      l.stream = s_number[n.stream] AND l.type = t_number[n.type] AND l.schema = n.schema
      AND l.tags IS NOT DISTINCT FROM n.tags AND l.further IS NOT DISTINCT FROM n.further
      AND coalesce(l.data = n.data, l.tombstone = sha256(n.data)), false) ORDER BY n.place)
    INTO k_position, k_same
    FROM unnest(e_id, e_given, e_stream, e_type, e_schema, e_tags, e_further, e_data) WITH ORDINALITY
      n(id, given, stream, type, schema, tags, further, data, place)
    LEFT JOIN fd_log l ON n.given AND l.id = n.id;
  END IF;

  -- The first event of the log that matches each condition.
  IF cardinality(c_append) > 0 THEN
    SELECT array_agg(f.position ORDER BY n.append) INTO c_match
    FROM generate_series(1, appends) n(append) LEFT JOIN (
      SELECT c_append[m.place] AS append, min(m.position) AS position
      FROM fd_matches(c_tags, c_types, ARRAY(
        SELECT CASE WHEN begun - a_after[c.append] > stale_events THEN begun
          WHEN known_epoch = epoch THEN coalesce(c.looked, a_after[c.append]) ELSE a_after[c.append] END
        FROM unnest(c_append, c_looked) WITH ORDINALITY c(append, looked, place) ORDER BY c.place
      )) m GROUP BY 1
    ) f ON f.append = n.append;
  END IF;

  FOR a IN 1..appends LOOP
    e_first := e_last + 1;
    e_last := e_last + a_events[a];

    IF r_last[a] IS NOT NULL THEN
      verdict[a] := CASE WHEN r_same[a] THEN 1 ELSE 2 END;
      first[a] := r_first[a];
      last[a] := r_last[a];
      CONTINUE;
    END IF;

    IF k_position IS NOT NULL THEN
      from_known := NULL;
      unknown := false;
      FOR e IN e_first..e_last LOOP
        IF k_position[e] IS NULL THEN
          IF from_known IS NOT NULL THEN
            verdict[a] := 4;
            detail[a] := e_first;
            EXIT;
          END IF;
          unknown := true;
        ELSIF unknown OR NOT k_same[e] OR (from_known IS NOT NULL AND k_position[e] <> to_known + 1) THEN
          verdict[a] := 4;
          detail[a] := e;
          EXIT;
        ELSE
          from_known := coalesce(from_known, k_position[e]);
          to_known := k_position[e];
        END IF;
      END LOOP;
      IF verdict[a] = 0 AND from_known IS NOT NULL THEN
        verdict[a] := 3;
        first[a] := from_known;
        last[a] := to_known;
      END IF;
      CONTINUE WHEN verdict[a] <> 0;
    END IF;

    WHILE x <= x_count AND x_append[x] <= a LOOP
      IF x_append[x] = a THEN
        v := s_version[x_stream[x]];
        IF NOT (CASE x_version[x] WHEN -1 THEN v = 0 WHEN 0 THEN v > 0 ELSE v = x_version[x] END) THEN
          verdict[a] := 5;
          first[a] := v;
          detail[a] := x;
          EXIT;
        END IF;
      END IF;
      x := x + 1;
    END LOOP;
    CONTINUE WHEN verdict[a] <> 0;

    IF a_after[a] IS NOT NULL THEN
      detail[a] := head;
      IF a_epoch[a] <> epoch THEN
        verdict[a] := 8;
      ELSIF a_after[a] > head THEN
        verdict[a] := 9;
      ELSIF head - a_after[a] > stale_events THEN
        verdict[a] := 7;
      ELSIF c_match[a] IS NOT NULL THEN
        verdict[a] := 6;
        detail[a] := c_match[a];
      ELSE
        WHILE w <= w_count AND w_append[w] <= a LOOP
          IF w_append[w] = a AND o_position[w_event[w]] > a_after[a] THEN
            verdict[a] := 6;
            detail[a] := o_position[w_event[w]];
            EXIT;
          END IF;
          w := w + 1;
        END LOOP;
      END IF;
      CONTINUE WHEN verdict[a] <> 0;
    END IF;

    first[a] := head + 1;
    last[a] := head + a_events[a];
    end_bytes := now_bytes || int8send(last[a]);
    FOR e IN e_first..e_last LOOP
      s := e_stream[e];
      head := head + 1;
      v := s_version[s] + 1;
      s_version[s] := v;
      IF s_number[s] IS NULL THEN
        streams_last := coalesce(streams_last, (SELECT max(st.stream) FROM fd_stream st), 0) + 1;
        s_number[s] := streams_last;
      END IF;
      IF t_number[e_type[e]] IS NULL THEN
        types_last := coalesce((SELECT max(ty.type) FROM fd_type ty), 0) + 1;
        t_number[e_type[e]] := types_last;
        INSERT INTO fd_type (type, name) VALUES (types_last, t_names[e_type[e]]);
      END IF;
      o_position[e] := head;
      versions[e] := v;
      o_digest[e] := sha256('\x01'::bytea || int8send(head) || int8send(v) || end_bytes || sealed[e]);
      link := sha256(link || o_digest[e]);
      o_hash[e] := link;
    END LOOP;
  END LOOP;

  IF head > begun THEN
    INSERT INTO fd_log (position, stream, version, recorded, occurred, id, type, schema, append_rest, checksum, hash,
      actor, correlation, causation, tags, further, data)
    SELECT n.position, s_number[n.stream], n.version, recorded, n.occurred, n.id, t_number[n.type], n.schema, n.rest,
      fd_checksum(n.digest || n.hash), n.hash, n.actor, n.correlation, n.causation, n.tags, n.further, n.data
    FROM unnest(o_position, e_stream, versions, e_occurred, e_id, e_type, e_schema, e_rest, o_digest, o_hash, e_actor,
      e_correlation, e_causation, e_tags, e_further, e_data)
      n(position, stream, version, occurred, id, type, schema, rest, digest, hash, actor,
      correlation, causation, tags, further, data)
    WHERE n.position > 0;
    IF cardinality(g_event) > 0 THEN
      INSERT INTO fd_tag (tag, position)
      SELECT n.tag, o_position[n.event] FROM unnest(g_event, g_tag) n(event, tag) WHERE o_position[n.event] > 0;
    END IF;
    UPDATE fd_stream st
    SET version = n.version, updated = recorded,
      checksum = fd_stream_checksum(st.stream, n.version, st.created, recorded, st.name)
    FROM unnest(s_number, s_before, s_version) n(number, before, version)
    WHERE st.stream = n.number AND n.before > 0 AND n.version > n.before;
    IF streams_last IS NOT NULL THEN
      INSERT INTO fd_stream (stream, name, version, created, updated, checksum)
      SELECT n.number, n.name, n.version, recorded, recorded,
        fd_stream_checksum(n.number, n.version, recorded, recorded, n.name)
      FROM unnest(s_number, s_names, s_before, s_version) n(number, name, before, version)
      WHERE n.before = 0 AND n.version > 0;
    END IF;
  END IF;
  IF cardinality(a_key) > 0 THEN
    INSERT INTO fd_request (caller, key, fingerprint, first, last, checksum)
    SELECT n.caller, n.key, n.fingerprint, n.first, n.last,
      fd_request_checksum(n.caller, n.key, n.fingerprint, n.first, n.last)
    FROM unnest(a_caller, a_key, a_fingerprint, verdict, first, last) n(caller, key, fingerprint, verdict, first, last)
    WHERE n.key IS NOT NULL AND n.verdict IN (0, 3);
  END IF;
  PERFORM set_config('flightdeck.appends', '', true);
  head_hash := link;
  -- A hint for whoever waits, never the event; and none when nobody takes hints from the queue any more.
  IF head > begun AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('fd_' || current_schema(), epoch || '-' || head);
  END IF;
END
$$;

-- How many events of a stream stand at or below a position: positions rise with versions, so the border is searched for.
CREATE FUNCTION fd_count_to(of_stream bigint, last_version bigint, at bigint) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
  low bigint := 0;
  high bigint := last_version;
  middle bigint;
  found bigint;
BEGIN
  WHILE low < high LOOP
    middle := low + (high - low + 1) / 2;
    SELECT l.position INTO found FROM fd_log l WHERE l.stream = of_stream AND l.version = middle;
    IF found IS NULL THEN
      RAISE EXCEPTION 'version % of stream number % is missing', middle, of_stream USING ERRCODE = 'FD001';
    ELSIF found <= at THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END
$$;

-- Which life of which log this is: the cluster's identifier, the timeline that changes with every failover, and the numbers
-- of database and table, which a restored dump does not have. NULL on a standby. Where the cluster hides its own from us,
-- a node's memory of hashes has to do.
CREATE FUNCTION fd_history() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  own text := concat_ws('-', (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()), 'fd_sequencer'::regclass::oid);
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN NULL;
  END IF;
  RETURN concat_ws('-', (SELECT c.system_identifier FROM pg_control_system() c), left(pg_walfile_name(pg_current_wal_lsn()), 8), own);
EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
  RETURN 'hidden-' || own;
END
$$;

-- Decides whether the log is still the one that a node remembers, and begins a new epoch when it may not be: when what
-- the node knows of a position is not what stands there, or when the cluster is another one, or of another
-- timeline, and the node that asks can't vouch for anything. Answers with the epoch.
CREATE FUNCTION fd_settle(known_epoch text, known_position bigint, known_hash bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
  now_epoch text;
  head bigint;
  stands bytea;
  before text;
  history text := fd_history();
  vouched boolean := false;
  broken boolean := false;
BEGIN
  SELECT q.epoch INTO STRICT now_epoch FROM fd_sequencer q FOR UPDATE;
  SELECT coalesce(max(l.position), 0) INTO STRICT head FROM fd_log l;
  SELECT m.value INTO before FROM fd_meta m WHERE m.name = 'history';
  IF known_epoch = now_epoch AND known_position > 0 THEN
    SELECT l.hash INTO stands FROM fd_log l WHERE l.position = known_position;
    vouched := stands IS NOT DISTINCT FROM known_hash AND known_position <= head;
    broken := NOT vouched;
  END IF;
  IF broken OR (before IS NOT NULL AND before IS DISTINCT FROM history AND NOT vouched AND head > 0) THEN
    now_epoch := left(replace(gen_random_uuid()::text, '-', ''), 12);
    UPDATE fd_sequencer SET epoch = now_epoch;
    PERFORM pg_notify('fd_' || current_schema(), now_epoch || '-' || head);
  END IF;
  INSERT INTO fd_meta (name, value) VALUES ('history', history)
  ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value WHERE fd_meta.value IS DISTINCT FROM EXCLUDED.value;
  RETURN now_epoch;
END
$$;

-- Gives a role what a node needs and no more: `read` to read, `write` to append as well. Neither can alter or delete.
CREATE FUNCTION fd_grant(to_role text, may text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF may NOT IN ('read', 'write') THEN
    RAISE EXCEPTION 'a role may read or write, not %', may USING ERRCODE = '22023';
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), to_role);
  EXECUTE format('GRANT SELECT ON fd_migration, fd_meta, fd_sequencer, fd_head, fd_stream, fd_type, fd_log, fd_tag, fd_request, fd_snapshot TO %I', to_role);
  EXECUTE format('GRANT EXECUTE ON FUNCTION fd_count_to, fd_require, fd_stream_checksum, fd_request_checksum, fd_history TO %I', to_role);
  IF may = 'write' THEN
    EXECUTE format('GRANT EXECUTE ON FUNCTION fd_append, fd_matches, fd_settle TO %I', to_role);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON fd_snapshot TO %I', to_role);
    EXECUTE format('GRANT SELECT ON fd_secret TO %I', to_role);
  END IF;
END
$$;

-- What is not granted is nobody's.
REVOKE ALL ON FUNCTION fd_checksum, fd_stream_checksum, fd_request_checksum, fd_require, fd_refuse, fd_append, fd_matches, fd_count_to,
  fd_history, fd_settle, fd_grant FROM PUBLIC;
