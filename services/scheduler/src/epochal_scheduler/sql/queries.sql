-- remove_tasks --
DELETE FROM task t USING (
    SELECT o.run_id, o.kind
      FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS d (run_id, kind, due_at)
      JOIN task o USING (run_id, kind, due_at)
       -- What somebody changes now is not done, and waiting for many rows could deadlock.
       FOR UPDATE OF o SKIP LOCKED) done
 WHERE t.run_id = done.run_id AND t.kind = done.kind

-- due_tasks --
SELECT kind, run_id, org_id, name, due_at, since, sequence, correlation_id, causation_id, traceparent
  FROM task WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1

-- next_due_s --
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM task

-- postpone_task --
UPDATE task SET due_at = clock_timestamp() + make_interval(secs => $3), sequence = coalesce($4, sequence)
 WHERE run_id = $1 AND kind = $2 AND due_at = $5

-- note_published --
UPDATE task t SET due_at = clock_timestamp() + make_interval(secs => $4), sequence = p.sequence
  FROM (SELECT o.run_id, p.sequence
          FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) AS p (run_id, due_at, sequence)
          JOIN task o ON o.run_id = p.run_id AND o.kind = 'publish' AND o.due_at = p.due_at
           -- What somebody changes now needs no note, and waiting for many rows could deadlock.
           FOR UPDATE OF o SKIP LOCKED) p
 WHERE t.run_id = p.run_id AND t.kind = 'publish'

-- remove_lease --
DELETE FROM lease WHERE run_id = $1

-- expired_leases --
SELECT run_id, org_id, name, attempt, fence, agent FROM lease
 WHERE seen_at < clock_timestamp() - make_interval(secs => $1) ORDER BY seen_at LIMIT 1000

-- note_heartbeat --
WITH renewed AS (
    UPDATE lease l SET seen_at = clock_timestamp()
      FROM (SELECT o.run_id FROM unnest($5::uuid[], $6::bigint[]) AS held (run_id, fence)
              JOIN lease o ON o.run_id = held.run_id AND o.fence = held.fence AND o.agent = $1
               -- A lease that begins or ends now is renewed by the next beat, if it is still there.
               FOR UPDATE OF o SKIP LOCKED) held
     WHERE l.run_id = held.run_id
)
INSERT INTO agent (name, queues, free_slots, draining, seen_at, slots, labels, capacity)
VALUES ($1, $2, $3, $4, clock_timestamp(), $7, $8::jsonb, $9)
ON CONFLICT (name) DO UPDATE SET queues = EXCLUDED.queues, free_slots = EXCLUDED.free_slots,
    draining = EXCLUDED.draining, seen_at = EXCLUDED.seen_at, slots = EXCLUDED.slots,
    labels = EXCLUDED.labels, capacity = EXCLUDED.capacity

-- agents --
SELECT name, queues, slots, free_slots, draining, labels, capacity, seen_at FROM agent
 WHERE seen_at > clock_timestamp() - make_interval(secs => $1) ORDER BY name

-- head --
SELECT position FROM log.head

-- components --
SELECT org_id, component, tag, spec, digest, is_preset, description, creator, position, create_time
  FROM component
 WHERE org_id = $1 AND $2 IN ('', component)
   AND (component > $3 OR (component = $3 AND position < $4))
 ORDER BY component, position DESC LIMIT $5

-- component_stages --
SELECT component, tag, stage FROM component_stage
 WHERE org_id = $1 AND component = ANY($2) ORDER BY component, stage

-- components_then --
SELECT org_id, component, tag, spec, digest, is_preset, description, creator, position, create_time
  FROM component_past
 WHERE org_id = $1 AND $2 IN ('', component)
   AND (component > $3 OR (component = $3 AND position < $4))
   AND position <= $6 AND until > $6
 ORDER BY component, position DESC LIMIT $5

-- component_stages_then --
SELECT component, tag, stage FROM component_stage_past
 WHERE org_id = $1 AND component = ANY($2) AND since <= $3 AND until > $3
 ORDER BY component, stage

-- component_then --
SELECT org_id, component, tag, spec, digest, is_preset, description, creator, position, create_time
  FROM component_past
 WHERE org_id = $1 AND component = $2 AND tag = $3 AND position <= $4 AND until > $4

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

-- component --
SELECT org_id, component, tag, spec, digest, is_preset, description, creator, position, create_time
  FROM component WHERE org_id = $1 AND component = $2 AND tag = $3

-- queues --
SELECT org_id, queue, config FROM queue WHERE $1 IN ('', org_id) ORDER BY org_id, queue

-- policy --
SELECT cache, four_eyes FROM project_policy WHERE project = $1

-- live_runs --
SELECT run_id, org_id, name, kind, status, creator, queue, priority, amounts, asked, asked_at,
       pipeline, fence, attempt_position, agent, started_at, unsealed
  FROM live_run WHERE asked > $1 ORDER BY asked

-- children --
SELECT run_id, pipeline_id, name, step, iteration, status, position, schedule_time, params, message
  FROM child WHERE pipeline_id = $1 ORDER BY iteration, position

-- live_children --
SELECT c.run_id, c.pipeline_id, c.name, c.step, c.iteration, c.status, c.position, c.schedule_time,
       c.params, c.message
  FROM child c JOIN live_run USING (run_id)

-- result --
SELECT project, cache_key, run_id, name, ended_at, params, outputs FROM result
 WHERE project = $1 AND cache_key = $2

-- remove_old_agents --
DELETE FROM agent WHERE seen_at < clock_timestamp() - interval '1 day'

-- live_runs_of --
SELECT run_id, org_id, name, kind, status, creator, queue, priority, amounts, asked, asked_at,
       pipeline, fence, attempt_position, agent, started_at, unsealed
  FROM live_run WHERE run_id = ANY ($1::uuid[])

-- standings --
SELECT run_id, status, fence FROM live_run WHERE run_id = ANY ($1::uuid[])

-- live_run --
SELECT run_id, org_id, name, kind, status, creator, queue, priority, amounts, asked, asked_at,
       pipeline, fence, attempt_position, agent, started_at, unsealed
  FROM live_run WHERE run_id = $1
