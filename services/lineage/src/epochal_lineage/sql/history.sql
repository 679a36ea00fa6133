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
