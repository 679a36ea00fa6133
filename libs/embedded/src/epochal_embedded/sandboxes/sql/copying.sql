-- events --
SELECT position, event_id, org_id, category, stream_id, version, type, payload, actor, resource,
       correlation_id, causation_id, traceparent, recorded_at, chain
  FROM log.event WHERE position > $1 AND position <= $2 ORDER BY position

-- commands --
SELECT command_id, request_sha256, first_position, last_position, recorded_at
  FROM log.command WHERE last_position <= $1

-- streams --
INSERT INTO log.stream (category, stream_id, version)
SELECT category, stream_id, max(version) FROM log.event GROUP BY category, stream_id

-- head --
UPDATE log.head h SET position = e.position, chain = e.chain
  FROM (SELECT position, chain FROM log.event ORDER BY position DESC LIMIT 1) e
 WHERE h.log_id = 1

-- has_marks --
SELECT to_regclass('log.fork') IS NOT NULL

-- marks --
SELECT number, fork_id, position, chain, source, origin, checkpoint, verifiers, forked_at
  FROM log.fork WHERE position <= $1 ORDER BY number
