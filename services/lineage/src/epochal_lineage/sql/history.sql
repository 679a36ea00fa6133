-- of_types --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event
 WHERE org_id = $1 AND type = ANY($2) AND position > $3 AND position <= $4
 ORDER BY position LIMIT $5

-- event --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event WHERE position = $1 AND org_id = $2

-- time_of --
SELECT recorded_at FROM log.event WHERE position = $1
