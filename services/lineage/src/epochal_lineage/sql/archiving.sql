-- reached --
SELECT segments, size FROM lineage.log_archive WHERE place = $1

-- note_reached --
INSERT INTO lineage.log_archive (place, segments, size) VALUES ($1, $2, $3)
ON CONFLICT (place) DO UPDATE SET segments = EXCLUDED.segments, size = EXCLUDED.size

-- unhurried --
SELECT set_config('statement_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '0', false)

-- is_empty --
SELECT (SELECT position FROM log.head WHERE log_id = 1) = 0
   AND NOT EXISTS (SELECT FROM log.event)

-- streams --
INSERT INTO log.stream (category, stream_id, version)
SELECT category, stream_id, max(version) FROM log.event GROUP BY category, stream_id

-- head --
UPDATE log.head h SET position = e.position, chain = e.chain
  FROM (SELECT position, chain FROM log.event ORDER BY position DESC LIMIT 1) e
 WHERE h.log_id = 1

-- names --
SELECT pseudonym, name, key, created_at, erased_at FROM log.subject ORDER BY created_at, pseudonym

-- add_names --
INSERT INTO log.subject (pseudonym, name, key, created_at, erased_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::timestamptz[])
