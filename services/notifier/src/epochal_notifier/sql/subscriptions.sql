-- subscriptions --
SELECT name, project, display_name, channel, sealed_channel, occasions, create_time, position,
       description, paused, update_time
  FROM subscription WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3

-- subscription --
SELECT name, project, display_name, channel, sealed_channel, occasions, create_time, position,
       description, paused, update_time
  FROM subscription WHERE name = $1

-- interested --
-- Those of the project, and those of its organisation, which hear of all projects.
SELECT name FROM subscription
 WHERE project IN ($1, split_part($1, '/projects/', 1)) AND occasions @> to_jsonb($2::integer) AND position < $3 AND NOT paused ORDER BY name

-- named --
SELECT name FROM subscription
 WHERE project = $1 AND display_name = ANY ($2::text[]) AND position < $3 AND NOT paused ORDER BY name

-- deliveries --
SELECT i.project || '/deliveries/' || i.delivery_id AS name, i.subscription, i.occasion, i.run,
       coalesce(d.state, 1) AS state, coalesce(d.attempts, 0) AS attempts,
       coalesce(d.last_outcome, '') AS last_outcome, i.created_at, i.cause_position
  FROM notifier.intent i
  LEFT JOIN delivery d ON d.name = i.project || '/deliveries/' || i.delivery_id
 WHERE i.project = $1 AND ($2::bigint IS NULL OR (i.cause_position, i.delivery_id) < ($2, $3))
 ORDER BY i.cause_position DESC, i.delivery_id DESC LIMIT $4

-- model_title --
SELECT model, display_name, prompt FROM model_title WHERE model = $1
