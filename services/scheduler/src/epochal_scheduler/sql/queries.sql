-- put_task --
INSERT INTO task (kind, run_id, org_id, name, due_at, since, correlation_id, causation_id, traceparent)
VALUES ($1, $2, $3, $4, $5, clock_timestamp(), $6, $7, $8)
ON CONFLICT (run_id, kind) DO UPDATE SET due_at = EXCLUDED.due_at, since = EXCLUDED.since,
    sequence = NULL, causation_id = EXCLUDED.causation_id

-- remove_tasks --
DELETE FROM task WHERE run_id = $1 AND kind = ANY($2)

-- hasten_settling --
UPDATE task SET due_at = clock_timestamp() WHERE run_id = $1 AND kind = 'settle'

-- remove_task --
DELETE FROM task WHERE run_id = $1 AND kind = $2 AND due_at = $3

-- due_tasks --
SELECT kind, run_id, org_id, name, due_at, since, sequence, correlation_id, causation_id, traceparent
  FROM task WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1

-- next_due_s --
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM task

-- postpone_task --
UPDATE task SET due_at = clock_timestamp() + make_interval(secs => $3), sequence = coalesce($4, sequence)
 WHERE run_id = $1 AND kind = $2 AND due_at = $5

-- put_lease --
INSERT INTO lease (run_id, org_id, name, attempt, fence, agent, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())
ON CONFLICT (run_id) DO UPDATE SET attempt = EXCLUDED.attempt, fence = EXCLUDED.fence,
    agent = EXCLUDED.agent, seen_at = EXCLUDED.seen_at

-- remove_lease --
DELETE FROM lease WHERE run_id = $1

-- expired_leases --
SELECT run_id, org_id, name, attempt, fence, agent FROM lease
 WHERE seen_at < clock_timestamp() - make_interval(secs => $1) ORDER BY seen_at LIMIT 1000

-- note_heartbeat --
WITH renewed AS (
    UPDATE lease l SET seen_at = clock_timestamp()
      FROM unnest($5::uuid[], $6::bigint[]) AS held (run_id, fence)
     WHERE l.run_id = held.run_id AND l.fence = held.fence AND l.agent = $1
)
INSERT INTO agent (name, queues, free_slots, draining, seen_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET queues = EXCLUDED.queues, free_slots = EXCLUDED.free_slots,
    draining = EXCLUDED.draining, seen_at = EXCLUDED.seen_at

-- remove_old_agents --
DELETE FROM agent WHERE seen_at < clock_timestamp() - interval '1 day'

-- live_run --
SELECT run_id, fence, attempt_position, unsealed FROM live_run WHERE run_id = $1
