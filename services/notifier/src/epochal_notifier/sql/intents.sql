-- add --
INSERT INTO notifier.intent (delivery_id, project, subscription, occasion, run, org_id,
                             cause_position, cause_event_id, correlation_id, message, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING

-- claim --
UPDATE notifier.intent SET next_at = clock_timestamp() + make_interval(secs => $2)
 WHERE delivery_id IN (SELECT delivery_id FROM notifier.intent
                        WHERE NOT done AND next_at <= clock_timestamp()
                        ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING delivery_id, project, subscription, occasion, run, org_id, cause_position,
          cause_event_id, correlation_id, message, occurred_at, attempts

-- settle --
UPDATE notifier.intent
   SET attempts = $2, done = $3, next_at = clock_timestamp() + make_interval(secs => $4),
       message = CASE WHEN $3 THEN '' ELSE message END  -- it may name people, and was told
 WHERE delivery_id = $1

-- title --
SELECT display_name, creator FROM run_title WHERE run = $1
