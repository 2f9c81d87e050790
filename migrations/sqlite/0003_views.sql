-- Views: which generations of which views there are, and how far each is folded. The tables of a generation are made when a
-- program asks for it, and named after its row here, or, while it serves, as the view declares them.

CREATE TABLE fd_projection (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  view TEXT NOT NULL,
  number INTEGER NOT NULL,
  build INTEGER NOT NULL,
  -- Of what is kept and what is read: it never changes under a number.
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  -- The tables as they were declared, as JSON.
  plan TEXT NOT NULL,
  -- It has caught up once, and can be asked.
  ready INTEGER NOT NULL DEFAULT 0 CHECK (ready IN (0, 1)),
  -- Its tables have the names that were declared.
  serving INTEGER NOT NULL DEFAULT 0 CHECK (serving IN (0, 1)),
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  -- Everything up to here is folded in.
  position INTEGER NOT NULL DEFAULT 0,
  -- The last event that was there to be folded, and its hash.
  folded INTEGER,
  hash BLOB CHECK (length(hash) = 32),
  -- Where it will be once all that is staged for it is in its tables, as JSON.
  staged TEXT,
  -- Why it does not go on, as JSON.
  halt TEXT,
  -- The positions of events that it was told to leave out, as JSON.
  skips TEXT NOT NULL DEFAULT '[]',
  -- It was thrown away, and its tables are being emptied.
  gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
  -- When a program last said that it wants it, in microseconds since 1970.
  wanted INTEGER NOT NULL,
  UNIQUE (view, number, build)
) STRICT;
