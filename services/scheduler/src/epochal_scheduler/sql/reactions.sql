-- note_hooked --
INSERT INTO hooked (run_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING

-- remove_leases --
DELETE FROM lease WHERE run_id = ANY ($1::uuid[])

-- clear_tasks --
DELETE FROM task WHERE run_id = ANY ($1::uuid[]) AND kind <> 'hooks'

-- begin_leases --
WITH begun AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[])
        AS b (run_id, org_id, name, attempt, agent)
)
INSERT INTO lease (run_id, org_id, name, attempt, fence, agent, seen_at)
SELECT b.run_id, b.org_id, b.name, b.attempt, l.fence, b.agent, clock_timestamp()
  FROM begun b JOIN live_run l USING (run_id)
ON CONFLICT (run_id) DO UPDATE SET attempt = EXCLUDED.attempt, fence = EXCLUDED.fence,
    agent = EXCLUDED.agent, seen_at = EXCLUDED.seen_at

-- forget_runs --
WITH ended AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[], $6::uuid[],
                         $7::text[])
        AS e (run_id, org_id, name, due_at, correlation_id, causation_id, traceparent)
), gone AS (
    DELETE FROM task t USING ended WHERE t.run_id = ended.run_id AND t.kind <> 'hooks'
), due AS (
    DELETE FROM hooked h USING ended WHERE h.run_id = ended.run_id RETURNING h.run_id
)
INSERT INTO task (kind, run_id, org_id, name, due_at, since, correlation_id, causation_id, traceparent)
SELECT 'hooks', run_id, org_id, name, due_at, clock_timestamp(), correlation_id, causation_id, traceparent
  FROM ended JOIN due USING (run_id)
ON CONFLICT (run_id, kind) DO NOTHING

-- next_tasks --
WITH next AS (
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[],
                         $7::uuid[], $8::text[])
        AS n (kind, run_id, org_id, name, due_at, correlation_id, causation_id, traceparent)
), gone AS (
    DELETE FROM task t USING next
     WHERE t.run_id = next.run_id AND t.kind NOT IN (next.kind, 'hooks')
)
INSERT INTO task (kind, run_id, org_id, name, due_at, since, correlation_id, causation_id, traceparent)
SELECT kind, run_id, org_id, name, due_at, clock_timestamp(), correlation_id, causation_id, traceparent
  FROM next
ON CONFLICT (run_id, kind) DO UPDATE SET due_at = EXCLUDED.due_at, since = EXCLUDED.since,
    sequence = NULL, causation_id = EXCLUDED.causation_id

-- begin_settling --
WITH ended AS (
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[],
                         $7::uuid[], $8::text[])
        AS n (kind, run_id, org_id, name, due_at, correlation_id, causation_id, traceparent)
), gone AS (
    DELETE FROM task t USING ended
     WHERE t.run_id = ended.run_id AND t.kind NOT IN (ended.kind, 'hooks')
)
INSERT INTO task (kind, run_id, org_id, name, due_at, since, correlation_id, causation_id, traceparent)
SELECT kind, e.run_id, e.org_id, e.name,
       due_at + make_interval(secs => CASE WHEN EXISTS (
            SELECT 1 FROM live_run l, jsonb_each_text(l.unsealed) p
             WHERE l.run_id = e.run_id AND p.value::bigint > l.attempt_position)
         THEN $9::float8 ELSE 0 END),
       clock_timestamp(), correlation_id, causation_id, traceparent
  FROM ended e
ON CONFLICT (run_id, kind) DO UPDATE SET due_at = EXCLUDED.due_at, since = EXCLUDED.since,
    causation_id = EXCLUDED.causation_id

-- later_tasks --
INSERT INTO task (kind, run_id, org_id, name, due_at, since, correlation_id, causation_id, traceparent)
SELECT kind, run_id, org_id, name, due_at, clock_timestamp(), correlation_id, causation_id, traceparent
  FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[], $7::uuid[],
              $8::text[])
    AS n (kind, run_id, org_id, name, due_at, correlation_id, causation_id, traceparent)
ON CONFLICT (run_id, kind) DO UPDATE SET due_at = EXCLUDED.due_at, since = EXCLUDED.since

-- hasten_settling --
UPDATE task t SET due_at = clock_timestamp() WHERE t.run_id = ANY ($1::uuid[]) AND t.kind = 'settle'
   AND NOT EXISTS (SELECT 1 FROM live_run l, jsonb_each_text(l.unsealed) p
                    WHERE l.run_id = t.run_id AND p.value::bigint > l.attempt_position)
