-- families --
SELECT d.family, count(*) AS versions, (array_agg(d.name ORDER BY d.position DESC))[1] AS latest,
       max(d.create_time) AS update_time
  FROM dataset_version d WHERE d.project = $1 AND d.family > $2 AND d.position <= $4
 GROUP BY d.family ORDER BY d.family LIMIT $3

-- versions --
SELECT name, family, project, uri, digest, run, produced, features, contents, ''::bytea AS columns,
       ''::bytea AS details, validated, position, create_time, maker, since, columns_since,
       details_since
  FROM dataset_version WHERE project = $1 AND family = $2 AND position < $3
 ORDER BY position DESC, name LIMIT $4

-- version --
SELECT name, family, project, uri, digest, run, produced, features, contents, columns, details,
       validated, position, create_time, maker, since, columns_since, details_since
  FROM dataset_version WHERE name = $1

-- versions_then --
SELECT name, family, project, uri, digest, run, produced, features, contents, ''::bytea AS columns,
       ''::bytea AS details, validated, position, create_time, maker, since,
       0::bigint AS columns_since, 0::bigint AS details_since
  FROM dataset_version_past
 WHERE project = $1 AND family = $2 AND position < $3 AND since <= $5 AND until > $5
 ORDER BY position DESC, name LIMIT $4

-- version_then --
SELECT p.name, p.family, p.project, p.uri, p.digest, p.run, p.produced, p.features, p.contents,
       CASE WHEN v.columns_since <= $2 THEN v.columns ELSE ''::bytea END AS columns,
       CASE WHEN v.details_since <= $2 THEN v.details ELSE ''::bytea END AS details,
       p.validated, p.position, p.create_time, p.maker, p.since, v.columns_since, v.details_since
  FROM dataset_version_past p JOIN dataset_version v ON v.name = p.name
 WHERE p.name = $1 AND p.since <= $2 AND p.until > $2
