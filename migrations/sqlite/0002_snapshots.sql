-- Snapshots: the folded state of a stream up to a version. Only ever a head start: safe to delete at any time.

CREATE TABLE fd_snapshot (
  stream INTEGER PRIMARY KEY REFERENCES fd_stream,
  version INTEGER NOT NULL,
  schema INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  state BLOB NOT NULL
) STRICT;
