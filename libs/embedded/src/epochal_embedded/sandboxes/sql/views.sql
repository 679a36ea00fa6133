-- prepare --
CREATE TABLE epochal.original (
    service text PRIMARY KEY, version integer NOT NULL, position bigint NOT NULL
)

-- note --
INSERT INTO epochal.original (service, version, position) VALUES ($1, $2, $3)

-- has_views --
SELECT to_regclass('epochal.original') IS NOT NULL

-- views --
SELECT service, version, position FROM epochal.original ORDER BY service
