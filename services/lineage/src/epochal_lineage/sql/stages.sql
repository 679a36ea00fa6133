-- now --
SELECT resource, stage, version, reason, author, promotion, update_time, since
  FROM held_stage WHERE resource = $1 AND stage > $2 ORDER BY stage LIMIT $3

-- then --
SELECT resource, stage, version, reason, author, promotion, update_time, since
  FROM held_stage_past
 WHERE resource = $1 AND stage > $2 AND since <= $4 AND until > $4 ORDER BY stage LIMIT $3

-- one --
SELECT resource, stage, version, reason, author, promotion, update_time, since
  FROM held_stage WHERE resource = $1 AND stage = $2

-- held --
SELECT stage, version FROM held_stage WHERE resource = $1

-- there --
SELECT EXISTS (SELECT 1 FROM dataset_version WHERE name = $1)
    OR EXISTS (SELECT 1 FROM component_version WHERE name = $1)

-- creator --
SELECT creator FROM component_version WHERE name = $1

-- tags --
SELECT tag FROM component_version WHERE component = $1
