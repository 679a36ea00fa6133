-- The transparency log over log.event: who signs, the tree's tiles, every signed checkpoint.
-- All of it can be made again from log.event and the keys, but then under later signatures.

-- One row: the name of the log in every checkpoint. It never changes.
CREATE TABLE lineage.seal_origin (
    log_id smallint PRIMARY KEY CHECK (log_id = 1),
    origin text     NOT NULL
);

-- Every key that ever signed. The last one that is not retired signs now.
CREATE TABLE lineage.seal_key (
    number     integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    verifier   text        NOT NULL UNIQUE,
    sealed     bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at timestamptz
);

-- Hashes of a tile, 32 bytes each; the last of a level grows.
CREATE TABLE lineage.seal_tile (
    level  smallint NOT NULL CHECK (level >= 0),
    place  bigint   NOT NULL CHECK (place >= 0),
    hashes bytea    NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (level, place)
);

-- A tree head: `size` is the position of the last event in it.
CREATE TABLE lineage.seal (
    size      bigint      PRIMARY KEY CHECK (size > 0),
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    chain     bytea       NOT NULL CHECK (octet_length(chain) = 32),
    note      text        NOT NULL,
    hands_over boolean    NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX seal_handover ON lineage.seal (size) WHERE hands_over;

-- What witnesses say they saw; a later one by the same witness replaces the earlier.
CREATE TABLE lineage.seal_cosignature (
    size     bigint      NOT NULL REFERENCES lineage.seal,
    witness  text        NOT NULL,
    line     text        NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness)
);

-- How far each place has what is published there.
CREATE TABLE lineage.seal_place (
    place        text        PRIMARY KEY,
    size         bigint      NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
