-- The log: streams, event types, events, tags, remembered requests, and what the store knows of itself.
--
-- Numbers stand for names (streams, types) so that rows and indexes stay small. Times are microseconds
-- since 1970 in UTC. A checksum is XXH3-64 over a row's content with all names spelled out; it is
-- checked at every read. The triggers hold what the writer promises, also against other programs.
--
-- What runs for every event fails by FAIL, not ABORT, and foreign keys are deferred: only then does SQLite not
-- keep a copy of each page that a statement touches, for taking back that statement alone.

CREATE TABLE fd_meta (
  name TEXT NOT NULL PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What a program must know to read, and to write, this file.
INSERT INTO fd_meta (name, value) VALUES ('min_reader', 1), ('min_writer', 1);

CREATE TABLE fd_stream (
  stream INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  category TEXT NOT NULL GENERATED ALWAYS AS (iif(instr(name, '-') = 0, name, substr(name, 1, instr(name, '-') - 1))) VIRTUAL,
  version INTEGER NOT NULL CHECK (version > 0),
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE fd_type (
  type INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE fd_log (
  position INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES fd_stream DEFERRABLE INITIALLY DEFERRED,
  version INTEGER NOT NULL,
  type INTEGER NOT NULL REFERENCES fd_type DEFERRABLE INITIALLY DEFERRED,
  schema INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  -- How many events of the same append stand behind this one.
  append_rest INTEGER NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  -- Reserved: the key that personal fields are encrypted with.
  key BLOB CHECK (length(key) = 16),
  actor TEXT,
  correlation TEXT,
  causation TEXT,
  occurred INTEGER,
  -- One a line, in the order of their bytes.
  tags TEXT,
  checksum INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  -- SHA-256 of data that is gone.
  tombstone BLOB CHECK (length(tombstone) = 32),
  further BLOB,
  data BLOB CHECK ((data IS NULL) <> (tombstone IS NULL))
) STRICT;

CREATE UNIQUE INDEX fd_log_stream ON fd_log (stream, version);
CREATE UNIQUE INDEX fd_log_id ON fd_log (id);

CREATE TABLE fd_tag (
  tag TEXT NOT NULL,
  position INTEGER NOT NULL REFERENCES fd_log DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;

-- What was done under a request key: the events from `first` to `last`; none when `first` is behind `last`.
CREATE TABLE fd_request (
  caller TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;

-- An event is only ever added, and only at the end. This refuses INSERT OR REPLACE too, which would
-- otherwise delete the row it collides with, without a delete trigger seeing it.
CREATE TRIGGER fd_log_only_grows BEFORE INSERT ON fd_log
WHEN NEW.position IS NOT (SELECT ifnull(max(position), 0) + 1 FROM fd_log)
  OR EXISTS (SELECT 1 FROM fd_log WHERE stream = NEW.stream AND version = NEW.version)
  OR EXISTS (SELECT 1 FROM fd_log WHERE id = NEW.id)
BEGIN
  SELECT raise(FAIL, 'an event is only ever added, at the end of the log');
END;

CREATE TRIGGER fd_log_never_loses BEFORE DELETE ON fd_log
BEGIN
  SELECT raise(ABORT, 'no event is ever deleted');
END;

-- The one change there is: data gives way to a tombstone, and the checksum with it.
CREATE TRIGGER fd_log_never_changes BEFORE UPDATE ON fd_log
WHEN NOT (
  OLD.data IS NOT NULL AND NEW.data IS NULL AND NEW.tombstone IS NOT NULL
  AND NEW.position IS OLD.position AND NEW.stream IS OLD.stream AND NEW.version IS OLD.version
  AND NEW.type IS OLD.type AND NEW.schema IS OLD.schema AND NEW.recorded IS OLD.recorded
  AND NEW.append_rest IS OLD.append_rest AND NEW.id IS OLD.id AND NEW.key IS OLD.key
  AND NEW.actor IS OLD.actor AND NEW.correlation IS OLD.correlation AND NEW.causation IS OLD.causation
  AND NEW.occurred IS OLD.occurred AND NEW.tags IS OLD.tags AND NEW.hash IS OLD.hash
  AND NEW.further IS OLD.further
)
BEGIN
  SELECT raise(ABORT, 'no event ever changes');
END;

CREATE TRIGGER fd_stream_keeps_its_name BEFORE UPDATE ON fd_stream
WHEN NEW.stream IS NOT OLD.stream OR NEW.name IS NOT OLD.name OR NEW.created IS NOT OLD.created
  OR NEW.version <= OLD.version
BEGIN
  SELECT raise(FAIL, 'a stream keeps its name and only grows');
END;

CREATE TRIGGER fd_stream_is_added_once BEFORE INSERT ON fd_stream
WHEN EXISTS (SELECT 1 FROM fd_stream WHERE stream = NEW.stream OR name = NEW.name)
BEGIN
  SELECT raise(FAIL, 'a stream is only ever added once');
END;

CREATE TRIGGER fd_stream_never_goes BEFORE DELETE ON fd_stream
BEGIN
  SELECT raise(ABORT, 'no stream is ever deleted');
END;

CREATE TRIGGER fd_type_never_changes BEFORE UPDATE ON fd_type
BEGIN
  SELECT raise(ABORT, 'no event type ever changes');
END;

CREATE TRIGGER fd_type_is_added_once BEFORE INSERT ON fd_type
WHEN EXISTS (SELECT 1 FROM fd_type WHERE type = NEW.type OR name = NEW.name)
BEGIN
  SELECT raise(ABORT, 'an event type is only ever added once');
END;

CREATE TRIGGER fd_type_never_goes BEFORE DELETE ON fd_type
BEGIN
  SELECT raise(ABORT, 'no event type is ever deleted');
END;

CREATE TRIGGER fd_tag_is_of_its_event BEFORE INSERT ON fd_tag
WHEN NOT EXISTS (
  SELECT 1 FROM fd_log
  WHERE position = NEW.position AND instr(char(10) || tags || char(10), char(10) || NEW.tag || char(10)) > 0
)
BEGIN
  SELECT raise(FAIL, 'a tag is only indexed for an event that has it');
END;

CREATE TRIGGER fd_tag_never_changes BEFORE UPDATE ON fd_tag
BEGIN
  SELECT raise(ABORT, 'no tag ever changes');
END;

CREATE TRIGGER fd_tag_never_goes BEFORE DELETE ON fd_tag
BEGIN
  SELECT raise(ABORT, 'no tag is ever deleted');
END;

CREATE TRIGGER fd_request_is_added_once BEFORE INSERT ON fd_request
WHEN EXISTS (SELECT 1 FROM fd_request WHERE caller = NEW.caller AND key = NEW.key)
BEGIN
  SELECT raise(ABORT, 'a request is only ever remembered once');
END;

CREATE TRIGGER fd_request_never_changes BEFORE UPDATE ON fd_request
BEGIN
  SELECT raise(ABORT, 'no remembered request ever changes');
END;

CREATE TRIGGER fd_request_never_goes BEFORE DELETE ON fd_request
BEGIN
  SELECT raise(ABORT, 'no remembered request is ever deleted');
END;
