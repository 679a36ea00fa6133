-- lock --
SELECT pg_advisory_xact_lock(hashtext('epochal.seal'))

-- name_log --
INSERT INTO lineage.seal_origin VALUES (1, $1) ON CONFLICT DO NOTHING

-- origin --
SELECT origin FROM lineage.seal_origin

-- keys --
SELECT number, verifier, sealed, retired_at FROM lineage.seal_key ORDER BY number

-- add_key --
INSERT INTO lineage.seal_key (verifier, sealed) VALUES ($1, $2)
ON CONFLICT (verifier) DO UPDATE SET retired_at = NULL

-- retire_others --
UPDATE lineage.seal_key SET retired_at = clock_timestamp()
 WHERE verifier <> $1 AND retired_at IS NULL

-- add_first_key --
INSERT INTO lineage.seal_key (verifier, sealed)
SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM lineage.seal_key WHERE retired_at IS NULL)

-- last_size --
SELECT coalesce(max(size), 0) FROM lineage.seal

-- last_seal --
SELECT size, root, chain, note, hands_over, sealed_at FROM lineage.seal ORDER BY size DESC LIMIT 1

-- seal_at --
SELECT size, root, chain, note, hands_over, sealed_at FROM lineage.seal WHERE size = $1

-- seal_covering --
SELECT size, root, chain, note, hands_over, sealed_at FROM lineage.seal
 WHERE size >= $1 ORDER BY size LIMIT 1

-- seals --
SELECT size, root, chain, note, hands_over, sealed_at FROM lineage.seal
 WHERE size > $1 AND size <= $2 ORDER BY size LIMIT $3

-- handovers --
SELECT note FROM lineage.seal WHERE hands_over ORDER BY size

-- tiles --
SELECT t.level, t.place, t.hashes
  FROM unnest($1::smallint[], $2::bigint[]) AS wanted (level, place)
  JOIN lineage.seal_tile t USING (level, place)

-- put_tiles --
INSERT INTO lineage.seal_tile (level, place, hashes)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
ON CONFLICT (level, place) DO UPDATE SET hashes = EXCLUDED.hashes

-- put_seal --
INSERT INTO lineage.seal (size, root, chain, note, hands_over) VALUES ($1, $2, $3, $4, $5)

-- cosignatures --
SELECT line FROM lineage.seal_cosignature WHERE size = $1 ORDER BY witness

-- add_cosignature --
INSERT INTO lineage.seal_cosignature (size, witness, line) VALUES ($1, $2, $3)
ON CONFLICT (size, witness) DO UPDATE SET line = EXCLUDED.line, added_at = clock_timestamp()

-- outdate --
UPDATE lineage.seal_place SET size = $1 - 1 WHERE size = $1

-- published --
SELECT size FROM lineage.seal_place WHERE place = $1

-- note_published --
INSERT INTO lineage.seal_place (place, size) VALUES ($1, $2)
ON CONFLICT (place) DO UPDATE SET size = EXCLUDED.size, published_at = clock_timestamp()
