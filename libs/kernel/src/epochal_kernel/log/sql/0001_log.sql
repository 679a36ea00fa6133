-- The event log: append-only truth. See docs/guarantees.md.
CREATE SCHEMA IF NOT EXISTS log;

CREATE TABLE log.head (
    log_id   smallint PRIMARY KEY CHECK (log_id = 1),
    position bigint   NOT NULL CHECK (position >= 0),
    chain    bytea    NOT NULL CHECK (octet_length(chain) = 32)
) WITH (fillfactor = 10);
INSERT INTO log.head VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE log.event (
    position       bigint      PRIMARY KEY,
    event_id       uuid        NOT NULL,
    org_id         text        NOT NULL,
    category       text        NOT NULL,
    stream_id      uuid        NOT NULL,
    version        integer     NOT NULL CHECK (version >= 1),
    type           text        NOT NULL,
    payload        bytea       NOT NULL,
    actor          text        NOT NULL,
    resource       text        NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    traceparent    text        NOT NULL,
    recorded_at    timestamptz NOT NULL,
    chain          bytea       NOT NULL CHECK (octet_length(chain) = 32),
    CONSTRAINT event_id_once UNIQUE (event_id),
    CONSTRAINT stream_version_once UNIQUE (category, stream_id, version)
);
CREATE INDEX event_by_org         ON log.event (org_id, position);
CREATE INDEX event_by_actor       ON log.event (actor, position);
CREATE INDEX event_by_resource    ON log.event (resource text_pattern_ops, position);
CREATE INDEX event_by_correlation ON log.event (correlation_id, position);
CREATE INDEX event_by_time        ON log.event USING brin (recorded_at);

CREATE TABLE log.stream (
    category  text    NOT NULL,
    stream_id uuid    NOT NULL,
    version   integer NOT NULL CHECK (version >= 1),
    PRIMARY KEY (category, stream_id)
) WITH (fillfactor = 70);

CREATE TABLE log.command (
    command_id     uuid        PRIMARY KEY,
    request_sha256 bytea       NOT NULL,
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL
);
CREATE INDEX command_by_time ON log.command USING brin (recorded_at);

-- Fresh databases on a broker that has seen another history raise the epoch (see relay).
CREATE TABLE log.epoch (
    epoch      integer     PRIMARY KEY CHECK (epoch >= 1),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason     text        NOT NULL
);
INSERT INTO log.epoch (epoch, reason) VALUES (1, 'created');

CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % on log.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON log.event
    FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON log.event
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- What is hashed of an event: every column but the chain, each with its length, big-endian.
-- STABLE, not IMMUTABLE, because extract() is: only so may the planner inline it.
CREATE FUNCTION log.leaf(
    place bigint, event_id uuid, org_id text, category text, stream_id uuid, version integer,
    type text, payload bytea, actor text, resource text, correlation_id uuid, causation_id uuid,
    traceparent text, recorded_at timestamptz
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(
        int8send(place) || uuid_send(event_id)
        || int4send(octet_length(org_id)) || convert_to(org_id, 'UTF8')
        || int4send(octet_length(category)) || convert_to(category, 'UTF8')
        || uuid_send(stream_id) || int4send(version)
        || int4send(octet_length(type)) || convert_to(type, 'UTF8')
        || int4send(octet_length(payload)) || payload
        || int4send(octet_length(actor)) || convert_to(actor, 'UTF8')
        || int4send(octet_length(resource)) || convert_to(resource, 'UTF8')
        || uuid_send(correlation_id)
        || coalesce(uuid_send(causation_id), decode(repeat('00', 16), 'hex'))
        || int4send(octet_length(traceparent)) || convert_to(traceparent, 'UTF8')
        || int8send((extract(epoch FROM recorded_at) * 1000000)::bigint)
    )
$$;

-- The hash chain: each link is sha256(link before || leaf), the first starts from the head's.
-- In plpgsql, because a transition function in SQL starts an executor for every row.
CREATE FUNCTION log.chain_link(state bytea, leaf bytea, start bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN sha256(coalesce(state, start) || leaf); END $$;
CREATE AGGREGATE log.chain(leaf bytea, start bytea) (SFUNC = log.chain_link, STYPE = bytea);

-- Append a batch of commands, at most one a stream, in one transaction.
--
-- Must run in READ COMMITTED and be VOLATILE: the second statement needs a snapshot that is taken
-- after the head row is locked, or it would not see what the writer before has committed.
-- Status per command: 'appended', 'repeated' (same command before: its positions), 'mismatch'
-- (same command_id, other request), 'conflict' (stream is at `version`, not at the expected one).
CREATE FUNCTION log.append(
    command_ids uuid[], request_hashes bytea[], org_ids text[], categories text[],
    stream_ids uuid[], expected_versions integer[], actors text[], correlation_ids uuid[],
    causation_ids uuid[], traceparents text[],
    event_commands integer[], event_ids uuid[], types text[], payloads bytea[], resources text[]
) RETURNS TABLE (
    command integer, status text, first_position bigint, last_position bigint, version integer
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    head_position bigint;
    head_chain bytea;
    at timestamptz;
BEGIN
    SELECT h.position, h.chain INTO head_position, head_chain
      FROM log.head h WHERE h.log_id = 1 FOR UPDATE;
    at := clock_timestamp();
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT i.n::integer AS command, i.command_id, i.hash, i.org_id, i.category, i.stream_id,
               i.actor, i.correlation_id, i.causation_id, i.traceparent,
               CASE WHEN known.request_sha256 = i.hash THEN 'repeated'
                    WHEN known.command_id IS NOT NULL THEN 'mismatch'
                    WHEN i.expected <> coalesce(s.version, 0) THEN 'conflict'
                    ELSE 'appended' END AS status,
               known.first_position, known.last_position, coalesce(s.version, 0) AS version
          FROM unnest(command_ids, request_hashes, org_ids, categories, stream_ids,
                      expected_versions, actors, correlation_ids, causation_ids, traceparents)
               WITH ORDINALITY AS i (command_id, hash, org_id, category, stream_id, expected,
                                     actor, correlation_id, causation_id, traceparent, n)
          LEFT JOIN log.command known ON known.command_id = i.command_id
          LEFT JOIN log.stream s ON s.category = i.category AND s.stream_id = i.stream_id
    ), numbered AS MATERIALIZED (
        SELECT j.command, j.org_id, j.category, j.stream_id, j.actor, j.correlation_id,
               j.causation_id, j.traceparent, e.event_id, e.type, e.payload, e.resource,
               head_position + row_number() OVER (ORDER BY e.n) AS position,
               (j.version + row_number() OVER (PARTITION BY e.command ORDER BY e.n))::integer
                   AS version
          FROM unnest(event_commands, event_ids, types, payloads, resources)
               WITH ORDINALITY AS e (command, event_id, type, payload, resource, n)
          JOIN judged j ON j.command = e.command AND j.status = 'appended'
    ), linked AS MATERIALIZED (
        SELECT n.*,
               log.chain(log.leaf(n.position, n.event_id, n.org_id, n.category, n.stream_id,
                                  n.version, n.type, n.payload, n.actor, n.resource,
                                  n.correlation_id, n.causation_id, n.traceparent, at),
                         head_chain) OVER (ORDER BY n.position) AS chain
          FROM numbered n
    ), inserted AS (
        INSERT INTO log.event
        SELECT l.position, l.event_id, l.org_id, l.category, l.stream_id, l.version, l.type,
               l.payload, l.actor, l.resource, l.correlation_id, l.causation_id, l.traceparent,
               at, l.chain
          FROM linked l ORDER BY l.position
    ), placed AS MATERIALIZED (
        SELECT l.command, min(l.position) AS first_position, max(l.position) AS last_position,
               max(l.version) AS version
          FROM linked l GROUP BY l.command
    ), remembered AS (
        INSERT INTO log.command
        SELECT j.command_id, j.hash, p.first_position, p.last_position, at
          FROM placed p JOIN judged j ON j.command = p.command
    ), bumped AS (
        INSERT INTO log.stream
        SELECT j.category, j.stream_id, p.version FROM placed p JOIN judged j ON j.command = p.command
        ON CONFLICT ON CONSTRAINT stream_pkey DO UPDATE SET version = EXCLUDED.version
    ), moved AS (
        UPDATE log.head h SET position = l.position, chain = l.chain
          FROM (SELECT position, chain FROM linked ORDER BY position DESC LIMIT 1) l
         WHERE h.log_id = 1
    )
    SELECT j.command, j.status, coalesce(p.first_position, j.first_position),
           coalesce(p.last_position, j.last_position), coalesce(p.version, j.version)
      FROM judged j LEFT JOIN placed p ON p.command = j.command
     ORDER BY j.command;
END $$;
