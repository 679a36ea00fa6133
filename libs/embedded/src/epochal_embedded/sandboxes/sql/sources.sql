-- no_limits --
SELECT set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true),
       set_config('search_path', 'pg_catalog', true)

-- has_log --
SELECT to_regclass('log.event') IS NOT NULL AND to_regclass('epochal.migration') IS NOT NULL

-- has_seals --
SELECT to_regclass('lineage.seal') IS NOT NULL

-- log_migrations --
SELECT name FROM epochal.migration WHERE owner = 'log' ORDER BY name

-- head --
SELECT position FROM log.head WHERE log_id = 1

-- chain_at --
SELECT chain FROM log.event WHERE position = $1

-- log_bytes --
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
 WHERE c.relnamespace = 'log'::regnamespace AND c.relkind = 'r'

-- position_at --
WITH RECURSIVE half (low, high) AS (
    SELECT 0::bigint, position FROM log.head WHERE log_id = 1
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= $1 THEN e.position ELSE h.low END,
           CASE WHEN e.recorded_at <= $1 THEN h.high ELSE e.position - 1 END
      FROM half h JOIN log.event e ON e.position = (h.low + h.high + 1) / 2
     WHERE h.low < h.high
)
SELECT low FROM half WHERE low = high

-- signed --
SELECT o.origin, s.note, s.size,
       ARRAY(SELECT verifier FROM lineage.seal_key ORDER BY number) AS verifiers
  FROM lineage.seal_origin o
  LEFT JOIN LATERAL (SELECT note, size FROM lineage.seal WHERE size <= $1
                      ORDER BY size DESC LIMIT 1) s ON true

-- other_tables --
SELECT c.relname AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '' ORDER BY a.attnum) AS columns
  FROM pg_class c
 WHERE c.relnamespace = 'log'::regnamespace AND c.relkind = 'r'
   AND c.relname NOT IN ('head', 'event', 'stream', 'command', 'epoch', 'fork')
 ORDER BY c.relname

-- read_models --
SELECT n.nspname AS service FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = 'read_model' AND c.relkind = 'r' ORDER BY n.nspname

-- tables_of --
SELECT c.relname AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns,
       ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS types
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname <> 'checkpoint' ORDER BY c.relname
