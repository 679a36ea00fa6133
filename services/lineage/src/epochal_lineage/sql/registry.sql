-- model --
SELECT name, project, description, latest_version, aliases, create_time FROM model WHERE name = $1

-- models --
SELECT name, project, description, latest_version, aliases, create_time FROM model
 WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3

-- version --
SELECT model, version, run, artifact_path, digest, description, creator, create_time
  FROM model_version WHERE model = $1 AND version = $2

-- versions --
SELECT model, version, run, artifact_path, digest, description, creator, create_time
  FROM model_version WHERE model = $1 AND version < $2 ORDER BY version DESC LIMIT $3
