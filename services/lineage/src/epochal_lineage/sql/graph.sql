-- node --
SELECT name, project, kind, digest, uri FROM node WHERE name = $1 AND project = $2

-- nodes --
SELECT name, project, kind, digest, uri FROM node WHERE name = ANY($1) AND project = $2

-- upstream --
SELECT source, target, kind, project, position FROM edge
 WHERE target = ANY($1) AND project = $2 ORDER BY position, source, target LIMIT $3

-- downstream --
SELECT source, target, kind, project, position FROM edge
 WHERE source = ANY($1) AND project = $2 ORDER BY position, source, target LIMIT $3

-- artifacts --
SELECT run, path, sha256, size_bytes FROM run_artifact
 WHERE run = $1 AND (path = $2 OR ($3 AND starts_with(path, $2))) ORDER BY path
