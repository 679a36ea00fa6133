-- Who the pseudonyms in events are. The one table of the log that changes: erasing a subject takes
-- its name and key away, and no event with them. See docs/audit.md.
CREATE TABLE log.subject (
    pseudonym  text        PRIMARY KEY CHECK (pseudonym ~ '^users/anon-[a-z2-7]{26}$'),
    name       text,
    key        bytea       CHECK (octet_length(key) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at  timestamptz,
    CHECK (num_nulls(name, key) = CASE WHEN erased_at IS NULL THEN 0 ELSE 2 END)
);
CREATE UNIQUE INDEX subject_by_name ON log.subject (name) WHERE name IS NOT NULL;
CREATE INDEX subject_erased ON log.subject (erased_at) WHERE erased_at IS NOT NULL;

-- Services whose read models were made again without the name.
CREATE TABLE log.forgotten (
    service      text        NOT NULL,
    pseudonym    text        NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (service, pseudonym)
);
