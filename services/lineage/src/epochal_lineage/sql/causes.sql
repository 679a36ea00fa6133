-- about --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event
 WHERE resource = $1 AND org_id = $2 AND position <= $3 AND category = $4
   AND (cardinality($5::text[]) = 0 OR type = ANY($5))
 ORDER BY position LIMIT $6

-- at --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event WHERE position = $1 AND org_id = $2

-- by_id --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event WHERE event_id = $1 AND org_id = $2 AND position <= $3

-- first_of_request --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event WHERE correlation_id = $1 AND org_id = $2 ORDER BY position LIMIT 1
