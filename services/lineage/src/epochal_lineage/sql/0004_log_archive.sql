-- How far each place has the archived log: segments up to one position, a manifest up to another.
CREATE TABLE lineage.log_archive (
    place    text   PRIMARY KEY,
    segments bigint NOT NULL CHECK (segments >= 0),
    size     bigint NOT NULL CHECK (size BETWEEN 0 AND segments)
);
