-- families --
SELECT d.family, count(*) AS versions, (array_agg(d.name ORDER BY d.position DESC))[1] AS latest,
       max(d.create_time) AS update_time
  FROM dataset_version d WHERE d.project = $1 AND d.family > $2
 GROUP BY d.family ORDER BY d.family LIMIT $3

-- versions --
SELECT name, family, project, uri, digest, run, produced, features, contents, ''::bytea AS columns,
       ''::bytea AS details, validated, position, create_time, maker
  FROM dataset_version WHERE project = $1 AND family = $2 AND position < $3
 ORDER BY position DESC, name LIMIT $4

-- version --
SELECT name, family, project, uri, digest, run, produced, features, contents, columns, details,
       validated, position, create_time, maker
  FROM dataset_version WHERE name = $1
