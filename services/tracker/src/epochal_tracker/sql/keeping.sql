-- untold --
SELECT run_id, producer, batch, run, points, lines, reason FROM tracker.refused_batch
 WHERE NOT told ORDER BY run_id, producer, batch LIMIT $1

-- told --
UPDATE tracker.refused_batch SET told = true
 WHERE run_id = $1 AND producer = $2 AND batch = $3

-- close_own --
-- What comes by LogMetrics from now on comes from another producer.
UPDATE tracker.server_producer SET closed = true WHERE run_id = $1 AND NOT closed

-- producers --
SELECT producer FROM producer WHERE run_id = $1
UNION SELECT producer FROM tracker.server_producer WHERE run_id = $1
ORDER BY 1

-- untruncated --
-- Runs with producers whose later points are hidden and not yet left out of summaries, or that have
-- brought more since.
SELECT DISTINCT t.run_id FROM truncation t
  LEFT JOIN tracker.producer_cursor c USING (run_id, producer)
  LEFT JOIN tracker.truncated d USING (run_id, producer)
 WHERE d.run_id IS NULL OR d.from_step > t.from_step OR d.batch < coalesce(c.batch, 0)
 LIMIT $1

-- lock_summaries --
SELECT metric FROM tracker.metric_summary WHERE run_id = $1 ORDER BY metric FOR UPDATE

-- hidden_metrics --
SELECT DISTINCT m.metric FROM tracker.metric_chunk m JOIN truncation t USING (run_id, producer)
 WHERE m.run_id = $1 AND m.last_step >= t.from_step

-- shown_chunks --
-- All chunks of some metrics; columns only of those that are shown in part.
SELECT m.metric, m.points, m.first_step, m.last_step, m.first_time_us, m.last_time_us, m.last,
       m.min, m.max, m.steps, m.times, m.vals, t.from_step
  FROM tracker.metric_chunk m LEFT JOIN truncation t USING (run_id, producer)
 WHERE m.run_id = $1 AND m.metric = ANY($2)
   AND (t.from_step IS NULL OR m.first_step < t.from_step)
 ORDER BY m.metric, m.last_step, m.last_time_us

-- set_summary --
UPDATE tracker.metric_summary
   SET last = $3, last_step = $4, last_time_us = $5, min = $6, max = $7, points = $8
 WHERE run_id = $1 AND metric = $2

-- drop_summary --
DELETE FROM tracker.metric_summary WHERE run_id = $1 AND metric = $2

-- truncated --
INSERT INTO tracker.truncated AS d (run_id, producer, from_step, batch)
SELECT t.run_id, t.producer, t.from_step, coalesce(c.batch, 0)
  FROM truncation t LEFT JOIN tracker.producer_cursor c USING (run_id, producer)
 WHERE t.run_id = $1
ON CONFLICT (run_id, producer) DO UPDATE
   SET from_step = EXCLUDED.from_step, batch = EXCLUDED.batch

-- retention --
SELECT project, metrics_days, system_metrics_days, logs_days, artifacts_days, spans_days,
       metrics_archived, system_metrics_archived, logs_archived
  FROM retention
 WHERE project = $1

-- retentions --
SELECT project, metrics_days, system_metrics_days, logs_days, artifacts_days, spans_days,
       metrics_archived, system_metrics_archived, logs_archived
  FROM retention
 WHERE greatest(metrics_days, system_metrics_days, logs_days, artifacts_days, spans_days) > 0
 ORDER BY project

-- old_days --
-- Days that have a partition, before one.
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'tracker.metric_chunk'::regclass
   AND to_date(right(c.relname, 8), 'YYYYMMDD') < $1
 ORDER BY 1

-- expired_of_day --
-- What of a day is older than its project keeps, by project and kind. What is to be archived and
-- is not yet, and what was brought back for a while, is kept.
SELECT r.project, m.system, count(DISTINCT m.run_id), sum(m.points)::bigint
  FROM (SELECT run_id, producer, batch, points,
               metric LIKE 'sys/%' OR metric LIKE 'system/%' AS system
          FROM tracker.metric_chunk WHERE day = $1) m
  JOIN run r USING (run_id) JOIN retention k ON k.project = r.project
 WHERE CASE WHEN m.system THEN k.system_metrics_days ELSE k.metrics_days END > 0
   AND $1::date < $2::date - CASE WHEN m.system THEN k.system_metrics_days
                                  ELSE k.metrics_days END::integer
   AND NOT EXISTS (SELECT FROM needed_run n WHERE n.run_id = m.run_id)
   AND (NOT (k.metrics_archived OR k.system_metrics_archived) OR EXISTS (
        SELECT FROM tracker.archive_cursor a
         WHERE a.run_id = m.run_id AND a.producer = m.producer AND a.kind = 1
           AND a.batch >= m.batch))
   AND NOT EXISTS (SELECT FROM restored_run x WHERE x.run_id = m.run_id AND x.until > $2::date)
 GROUP BY 1, 2 ORDER BY 1, 2

-- kept_of_day --
SELECT EXISTS (
    SELECT FROM (SELECT run_id, producer, batch,
                        metric LIKE 'sys/%' OR metric LIKE 'system/%' AS system
                   FROM tracker.metric_chunk WHERE day = $1) m
      LEFT JOIN run r USING (run_id) LEFT JOIN retention k ON k.project = r.project
     WHERE k.project IS NULL
        OR CASE WHEN m.system THEN k.system_metrics_days ELSE k.metrics_days END = 0
        OR $1::date >= $2::date - CASE WHEN m.system THEN k.system_metrics_days
                                       ELSE k.metrics_days END::integer
        OR EXISTS (SELECT FROM needed_run n WHERE n.run_id = m.run_id)
        OR EXISTS (SELECT FROM restored_run x WHERE x.run_id = m.run_id AND x.until > $2::date)
        OR ((k.metrics_archived OR k.system_metrics_archived) AND NOT EXISTS (
            SELECT FROM tracker.archive_cursor a
             WHERE a.run_id = m.run_id AND a.producer = m.producer AND a.kind = 1
               AND a.batch >= m.batch)))

-- lock_days --
SELECT pg_advisory_xact_lock(hashtext('tracker.drop_day'))

-- drop_expired_of_day --
DELETE FROM tracker.metric_chunk m USING run r, retention k
 WHERE m.day = $1 AND r.run_id = m.run_id AND k.project = r.project
   AND CASE WHEN m.metric LIKE 'sys/%' OR m.metric LIKE 'system/%' THEN k.system_metrics_days
            ELSE k.metrics_days END > 0
   AND $1::date < $2::date - CASE WHEN m.metric LIKE 'sys/%' OR m.metric LIKE 'system/%'
                                  THEN k.system_metrics_days ELSE k.metrics_days END::integer
   AND NOT EXISTS (SELECT FROM needed_run n WHERE n.run_id = m.run_id)
   AND (NOT (k.metrics_archived OR k.system_metrics_archived) OR EXISTS (
        SELECT FROM tracker.archive_cursor a
         WHERE a.run_id = m.run_id AND a.producer = m.producer AND a.kind = 1
           AND a.batch >= m.batch))
   AND NOT EXISTS (SELECT FROM restored_run x WHERE x.run_id = m.run_id AND x.until > $2::date)

-- drop_day --
SELECT tracker.drop_day($1)

-- drop_expired_logs --
-- Output carries no day: it is as old as the end of its run.
WITH gone AS (
    DELETE FROM tracker.log_chunk l USING run r, retention k
     WHERE r.run_id = l.run_id AND r.project = $1 AND r.end_time < $2::date
       AND k.project = r.project
       AND NOT EXISTS (SELECT FROM needed_run n WHERE n.run_id = l.run_id)
       AND (NOT k.logs_archived OR EXISTS (
            SELECT FROM tracker.archive_cursor a
             WHERE a.run_id = l.run_id AND a.producer = l.producer AND a.kind = 2
               AND a.batch >= l.batch))
       AND NOT EXISTS (SELECT FROM restored_run x WHERE x.run_id = l.run_id AND x.until > $3::date)
    RETURNING l.run_id, l.lines)
SELECT count(DISTINCT run_id), coalesce(sum(lines), 0)::bigint FROM gone

-- drop_expired_spans --
-- Not those of traces of runs that a registered model version was made by.
WITH gone AS (
    DELETE FROM tracker.span s
     WHERE s.project = $1 AND s.start_ns < extract(epoch FROM $2::date)::bigint * 1000000000
       AND NOT EXISTS (
        SELECT FROM trace t WHERE t.project = s.project AND t.trace_id = s.trace_id AND t.name IN (
        SELECT l.trace FROM trace_run l JOIN needed_run n ON l.run_id = replace(n.run_id::text, '-', '')
        UNION ALL
        SELECT o.name FROM trace o JOIN needed_run n
            ON o.metadata ->> 'mlflow.sourceRun' = replace(n.run_id::text, '-', '')))
    RETURNING s.trace_id)
SELECT count(DISTINCT trace_id), count(*) FROM gone

-- expired_artifacts --
SELECT a.run_id, a.path, a.sha256 FROM artifact a JOIN run r USING (run_id)
 WHERE r.project = $1 AND r.end_time IS NOT NULL AND a.create_time < $2::date
   AND NOT EXISTS (SELECT FROM needed_run n WHERE n.run_id = a.run_id)
 ORDER BY a.run_id, a.path LIMIT $3

-- needing --
SELECT model_version, path FROM needed_run n JOIN unnest($2::text[]) AS path
    ON path = n.artifact_path
    OR (right(n.artifact_path, 1) = '/' AND starts_with(path, n.artifact_path))
 WHERE run_id = $1 ORDER BY 2, 1 LIMIT 1

-- needed_by --
SELECT model_version FROM needed_run WHERE run_id = $1 ORDER BY 1 LIMIT 10

-- holdings --
SELECT (SELECT coalesce(sum(points), 0)::bigint FROM tracker.metric_chunk WHERE run_id = $1),
       (SELECT coalesce(sum(lines), 0)::bigint FROM tracker.log_chunk WHERE run_id = $1),
       (SELECT count(*) FROM tracker.span s JOIN trace t USING (project, trace_id)
         WHERE t.name IN (
        SELECT name FROM trace WHERE metadata ->> 'mlflow.sourceRun' = replace($1::uuid::text, '-', '')
        UNION
        SELECT o.name FROM trace_run l JOIN trace o ON o.name = l.trace
         WHERE l.run_id = replace($1::uuid::text, '-', '') AND NOT o.metadata ? 'mlflow.sourceRun'
           AND NOT EXISTS (
               SELECT FROM trace_run m WHERE m.trace = l.trace AND m.run_id <> l.run_id)))

-- artifacts_of --
SELECT path, sha256 FROM artifact WHERE run_id = $1 ORDER BY path

-- purge_points --
DELETE FROM tracker.metric_chunk WHERE run_id = $1

-- purge_lines --
DELETE FROM tracker.log_chunk WHERE run_id = $1

-- purge_spans --
-- Of traces that the run made, and of those of no run that are linked to it alone.
DELETE FROM tracker.span s USING trace t
 WHERE s.project = t.project AND s.trace_id = t.trace_id AND t.name IN (
        SELECT name FROM trace WHERE metadata ->> 'mlflow.sourceRun' = replace($1::uuid::text, '-', '')
        UNION
        SELECT o.name FROM trace_run l JOIN trace o ON o.name = l.trace
         WHERE l.run_id = replace($1::uuid::text, '-', '') AND NOT o.metadata ? 'mlflow.sourceRun'
           AND NOT EXISTS (
               SELECT FROM trace_run m WHERE m.trace = l.trace AND m.run_id <> l.run_id))

-- purge_summaries --
DELETE FROM tracker.metric_summary WHERE run_id = $1

-- unpurged --
SELECT run_id FROM purged_run p
 WHERE EXISTS (SELECT FROM tracker.metric_summary s WHERE s.run_id = p.run_id)
    OR EXISTS (SELECT FROM tracker.log_chunk l WHERE l.run_id = p.run_id)
    OR EXISTS (SELECT FROM tracker.metric_chunk m WHERE m.run_id = p.run_id)
    OR EXISTS (SELECT FROM tracker.span s JOIN trace t USING (project, trace_id)
                WHERE t.name IN (
        SELECT name FROM trace WHERE metadata ->> 'mlflow.sourceRun' = replace(p.run_id::text, '-', '')
        UNION
        SELECT o.name FROM trace_run l JOIN trace o ON o.name = l.trace
         WHERE l.run_id = replace(p.run_id::text, '-', '') AND NOT o.metadata ? 'mlflow.sourceRun'
           AND NOT EXISTS (
               SELECT FROM trace_run m WHERE m.trace = l.trace AND m.run_id <> l.run_id)))
 LIMIT 100

-- dead_objects --
-- Bytes of artifacts that were deleted; whether another artifact has the same.
SELECT d.sha256, d.position, EXISTS (SELECT FROM artifact a WHERE a.sha256 = d.sha256)
                             OR EXISTS (SELECT FROM archive h WHERE h.sha256 = d.sha256)
  FROM dead_object d LEFT JOIN tracker.removed_object g USING (sha256)
 WHERE g.position IS NULL OR g.position < d.position
 ORDER BY d.position LIMIT $1

-- removed --
INSERT INTO tracker.removed_object AS g (sha256, position)
SELECT * FROM unnest($1::bytea[], $2::bigint[])
ON CONFLICT (sha256) DO UPDATE SET position = greatest(g.position, EXCLUDED.position)
