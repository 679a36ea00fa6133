-- has_telemetry --
SELECT to_regclass('tracker.metric_chunk') IS NOT NULL

-- migrations --
SELECT name FROM epochal.migration WHERE owner = 'tracker' ORDER BY name

-- bytes --
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
 WHERE c.relnamespace = 'tracker'::regnamespace AND c.relkind = 'r'

-- days --
SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'tracker.metric_chunk'::regclass ORDER BY c.relname

-- make_day --
SELECT tracker.ensure_day($1)

-- columns --
SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
 WHERE a.attrelid = to_regclass('tracker.' || $1) AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attgenerated = ''
