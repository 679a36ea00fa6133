-- validations --
SELECT f.run, f.component, f.display_name, f.creator
  FROM version_reference r JOIN run_fact f ON f.run = r.run
 WHERE r.model_version = $1 AND f.succeeded AND f.component <> '' AND starts_with(f.run, $2)
 ORDER BY r.position LIMIT 1000

-- validated_by --
SELECT DISTINCT ON (f.component) f.run, f.component, f.display_name, f.creator
  FROM version_reference r JOIN run_fact f ON f.run = r.run
 WHERE r.model_version = $1 AND f.succeeded AND f.component = ANY($3) AND starts_with(f.run, $2)
 ORDER BY f.component, r.position DESC

-- creators --
SELECT run, creator FROM run_fact WHERE run = ANY($1)

-- bundles --
SELECT key, bundle FROM version_signature WHERE model = $1 AND version = $2 ORDER BY key

-- files --
SELECT model, version, path, sha256, size_bytes, artifact, position FROM version_file
 WHERE model = $1 AND version = $2 AND path > $3 AND position <= $5 ORDER BY path LIMIT $4

-- digests --
SELECT path, sha256 FROM version_file WHERE model = $1 AND version = $2

-- signatures --
SELECT model, version, key, bundle, creator, create_time, position FROM version_signature
 WHERE model = $1 AND version = $2 AND key > $3 AND position <= $5 ORDER BY key LIMIT $4

-- policy --
SELECT project, version, text, digest, author, reason, create_time, position FROM registry_policy
 WHERE project = $1 AND ($2 = 0 OR version = $2) AND position <= $3
 ORDER BY version DESC LIMIT 1

-- sections --
SELECT DISTINCT ON (name, section) name, section, text, author, position
  FROM card_section WHERE name = ANY($1) AND position <= $2
 ORDER BY name, section, position DESC

-- of_run --
SELECT model, version FROM model_version WHERE run_id = $1 AND run = $2
 ORDER BY model, version LIMIT 10

-- of_run_then --
SELECT v.model, v.version FROM model_version_past v
  JOIN model_past m ON m.name = v.model AND m.since <= $3 AND m.until > $3
 WHERE v.run_id = $1 AND v.run = $2 AND v.since <= $3 AND v.until > $3
 ORDER BY v.model, v.version LIMIT 10
