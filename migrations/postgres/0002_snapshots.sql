-- Snapshots: the folded state of a stream up to a version. Only ever a head start: safe to delete at any time.

CREATE TABLE fd_snapshot (
  stream bigint PRIMARY KEY REFERENCES fd_stream,
  version bigint NOT NULL,
  schema integer NOT NULL,
  checksum bigint NOT NULL,
  state bytea NOT NULL
);
