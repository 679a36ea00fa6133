-- The mark of a sandbox: the log up to `position` is another platform's history, copied byte by
-- byte. One row for each time the history was forked; the last one counts. Empty everywhere else.
CREATE TABLE log.fork (
    number     integer     PRIMARY KEY CHECK (number >= 1),
    fork_id    uuid        NOT NULL UNIQUE,
    position   bigint      NOT NULL CHECK (position >= 0),
    chain      bytea       NOT NULL CHECK (octet_length(chain) = 32),
    source     text        NOT NULL,
    -- Name of the source's log in its checkpoints, its newest checkpoint that the fork has, and the
    -- keys it was signed with; empty before the source signed any.
    origin     text        NOT NULL,
    checkpoint text        NOT NULL,
    verifiers  text[]      NOT NULL,
    forked_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER fork_is_kept BEFORE UPDATE OR DELETE ON log.fork
    FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER fork_is_never_truncated BEFORE TRUNCATE ON log.fork
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
