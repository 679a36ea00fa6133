-- one --
SELECT r.content FROM record r JOIN artifact a USING (run_id, path)
 WHERE r.run_id = $1 AND r.record_id = $2

-- page --
-- Records whose bytes are still there, by kind, name, step and time, after the key of the last page.
SELECT r.kind, r.series, r.step, r.time_us, r.record_id, r.content
  FROM record r JOIN artifact a USING (run_id, path)
 WHERE r.run_id = $1
   AND ($2::text = '' OR r.kind = $2) AND ($3::text = '' OR r.series = $3)
   AND ($4::bigint IS NULL OR r.step >= $4) AND ($5::bigint IS NULL OR r.step <= $5)
   AND ($6::text IS NULL
        OR (r.kind, r.series, r.step, r.time_us, r.record_id) > ($6, $7, $8, $9, $10))
 ORDER BY r.kind, r.series, r.step, r.time_us, r.record_id LIMIT $11

-- series --
-- Of each kind and name how many, and the last by step.
SELECT g.kind, g.series, g.found, n.content
  FROM (SELECT r.kind, r.series, count(*) AS found
          FROM record r JOIN artifact a USING (run_id, path)
         WHERE r.run_id = $1 AND ($2::text = '' OR r.kind = $2)
           AND ($3::text IS NULL OR (r.kind, r.series) > ($3, $4))
         GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5) g
 CROSS JOIN LATERAL (
       SELECT r.content FROM record r JOIN artifact a USING (run_id, path)
        WHERE r.run_id = $1 AND r.kind = g.kind AND r.series = g.series
        ORDER BY r.step DESC, r.time_us DESC, r.record_id DESC LIMIT 1) n
 ORDER BY g.kind, g.series
