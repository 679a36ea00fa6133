-- known --
SELECT id FROM graph_node WHERE id = $1 AND slot = 0 AND project = $2 AND NOT implied

-- nodes --
SELECT DISTINCT ON (n.id)
       n.id, n.name, n.kind, n.project, n.digest, n.uri, n.label, n.parent, n.parent_name, n.first,
       CASE WHEN m.until < n.until THEN m.until ELSE n.until END AS until
  FROM graph_node n
  -- Of a model version only: what is no id is not looked for.
  LEFT JOIN graph_node m ON m.id = CASE WHEN n.kind = 4 THEN n.parent END AND m.slot = 0
 WHERE n.id = ANY($1::uuid[]) AND n.position <= $2 AND n.org = $3
   AND ($4::text IS NULL OR n.project = $4)
 ORDER BY n.id, n.position DESC

-- members --
SELECT id FROM graph_node
 WHERE parent = $1 AND position <= $2 AND org = $3 AND ($4::text IS NULL OR project = $4)
 GROUP BY id ORDER BY max(first) DESC, id LIMIT $5

-- by_name_in_project --
SELECT x.* FROM unnest($3::bigint[]) AS k (kind) CROSS JOIN LATERAL (
        SELECT n.id, n.name, n.kind, n.project, n.digest, n.uri, n.label, n.parent, n.parent_name,
               n.first, n.until
          FROM graph_node n
         WHERE n.project = $1 AND n.kind = k.kind AND n.name > $2 AND n.position <= $5
           AND strpos(n.name, $4) > 0
           AND NOT EXISTS (SELECT FROM graph_node r
                            WHERE r.id = n.id AND r.position > n.position AND r.position <= $5)
         ORDER BY n.name LIMIT $6) x
 ORDER BY x.name LIMIT $6

-- by_name_in_org --
SELECT x.* FROM unnest($3::bigint[]) AS k (kind) CROSS JOIN LATERAL (
        SELECT n.id, n.name, n.kind, n.project, n.digest, n.uri, n.label, n.parent, n.parent_name,
               n.first, n.until
          FROM graph_node n
         WHERE n.org = $1 AND n.kind = k.kind AND n.name > $2 AND n.position <= $5
           AND strpos(n.name, $4) > 0
           AND NOT EXISTS (SELECT FROM graph_node r
                            WHERE r.id = n.id AND r.position > n.position AND r.position <= $5)
         ORDER BY n.name LIMIT $6) x
 ORDER BY x.name LIMIT $6

-- by_name_in_family --
SELECT n.id, n.name, n.kind, n.project, n.digest, n.uri, n.label, n.parent, n.parent_name, n.first,
       n.until
  FROM graph_node n
 WHERE n.parent = $7 AND coalesce(n.project = $8, n.org = $1) AND n.kind = ANY($3::bigint[])
   AND n.name > $2 AND strpos(n.name, $4) > 0 AND n.position <= $5
   AND NOT EXISTS (SELECT FROM graph_node r
                    WHERE r.id = n.id AND r.position > n.position AND r.position <= $5)
 ORDER BY n.name LIMIT $6

-- upstream --
SELECT e.source, e.target, e.kind, e.position, 1::bigint AS count, e.position AS last
  FROM unnest($1::uuid[]) AS f (id) JOIN graph_edge e ON e.target = f.id
 WHERE e.position <= $2 AND e.until > $2 AND e.position > $3 AND ($4 OR NOT e.crosses)
   AND e.kind = ANY($5::bigint[])
 ORDER BY e.position, e.source, e.target, e.kind LIMIT $6

-- downstream --
SELECT e.source, e.target, e.kind, e.position, 1::bigint AS count, e.position AS last
  FROM unnest($1::uuid[]) AS f (id) JOIN graph_edge e ON e.source = f.id
 WHERE e.position <= $2 AND e.until > $2 AND e.position > $3 AND ($4 OR NOT e.crosses)
   AND e.kind = ANY($5::bigint[])
 ORDER BY e.position, e.source, e.target, e.kind LIMIT $6

-- upstream_of_jobs --
WITH member AS (
    SELECT f.id, f.id AS family FROM unnest($1::uuid[]) AS f (id)
    UNION ALL
    SELECT n.id, f.id FROM unnest($1::uuid[]) AS f (id)
      JOIN graph_node n ON n.parent = f.id AND n.position <= $2
     WHERE NOT EXISTS (SELECT FROM graph_node r
                        WHERE r.id = n.id AND r.position > n.position AND r.position <= $2)
)
SELECT o.family AS a, m.family AS b, e.kind, min(e.position) AS position, count(*) AS count,
       max(e.position) AS last
  FROM member m
  JOIN graph_edge e ON e.target = m.id
 CROSS JOIN LATERAL (
        SELECT CASE WHEN n.parent = '00000000-0000-0000-0000-000000000000' THEN n.id
                    ELSE n.parent END AS family
          FROM graph_node n WHERE n.id = e.source AND n.position <= $2
         ORDER BY n.position DESC LIMIT 1) o
 WHERE e.position <= $2 AND e.until > $2 AND e.position > $3 AND ($4 OR NOT e.crosses)
   AND e.kind = ANY($5::bigint[]) AND m.family <> o.family
 GROUP BY 1, 2, 3 ORDER BY 4, 1, 2, 3 LIMIT $6

-- downstream_of_jobs --
WITH member AS (
    SELECT f.id, f.id AS family FROM unnest($1::uuid[]) AS f (id)
    UNION ALL
    SELECT n.id, f.id FROM unnest($1::uuid[]) AS f (id)
      JOIN graph_node n ON n.parent = f.id AND n.position <= $2
     WHERE NOT EXISTS (SELECT FROM graph_node r
                        WHERE r.id = n.id AND r.position > n.position AND r.position <= $2)
)
SELECT m.family AS a, o.family AS b, e.kind, min(e.position) AS position, count(*) AS count,
       max(e.position) AS last
  FROM member m
  JOIN graph_edge e ON e.source = m.id
 CROSS JOIN LATERAL (
        SELECT CASE WHEN n.parent = '00000000-0000-0000-0000-000000000000' THEN n.id
                    ELSE n.parent END AS family
          FROM graph_node n WHERE n.id = e.target AND n.position <= $2
         ORDER BY n.position DESC LIMIT 1) o
 WHERE e.position <= $2 AND e.until > $2 AND e.position > $3 AND ($4 OR NOT e.crosses)
   AND e.kind = ANY($5::bigint[]) AND m.family <> o.family
 GROUP BY 1, 2, 3 ORDER BY 4, 1, 2, 3 LIMIT $6

-- columns_upstream --
SELECT c.source, c.source_column, c.target, c.target_column, c.via, c.transformation,
       c.description, c.masking, c.position
  FROM unnest($1::uuid[], $2::text[]) AS f (id, name)
  JOIN column_edge c ON c.target = f.id AND (f.name = '' OR c.target_column = f.name)
 WHERE c.position <= $3 AND ($4 OR NOT c.crosses)
 ORDER BY c.position, c.source, c.source_column, c.target, c.target_column, c.via, c.transformation
 LIMIT $5

-- columns_downstream --
SELECT c.source, c.source_column, c.target, c.target_column, c.via, c.transformation,
       c.description, c.masking, c.position
  FROM unnest($1::uuid[], $2::text[]) AS f (id, name)
  JOIN column_edge c ON c.source = f.id AND (f.name = '' OR c.source_column = f.name)
 WHERE c.position <= $3 AND ($4 OR NOT c.crosses)
 ORDER BY c.position, c.source, c.source_column, c.target, c.target_column, c.via, c.transformation
 LIMIT $5

-- events --
SELECT position, event_id::text, (extract(epoch FROM recorded_at) * 1000000)::bigint AS time_us
  FROM log.event WHERE position = ANY($1::bigint[])

-- artifacts --
SELECT run, path, sha256, size_bytes FROM run_artifact
 WHERE run = $1 AND (path = $2 OR ($3 AND starts_with(path, $2))) ORDER BY path
