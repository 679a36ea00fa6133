-- How far each receiver of OpenLineage events has been told what happened here.
CREATE TABLE lineage.openlineage_receiver (
    url      text        PRIMARY KEY,
    position bigint      NOT NULL CHECK (position >= 0),
    told_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
