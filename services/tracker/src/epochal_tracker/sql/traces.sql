-- store_spans --
-- A span that comes again replaces itself: one that runs is sent when it begins and when it ends.
INSERT INTO tracker.span AS known
    (project, trace_id, span_id, parent_id, name, type, status, start_ns, end_ns, otlp, content,
     tokens, cost)
SELECT $1, *
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
            $9::bigint[], $10::bytea[], $11::jsonb[], $12::jsonb[], $13::jsonb[])
ON CONFLICT (project, trace_id, span_id) DO UPDATE SET
    parent_id = EXCLUDED.parent_id, name = EXCLUDED.name, type = EXCLUDED.type,
    status = EXCLUDED.status, start_ns = EXCLUDED.start_ns, end_ns = EXCLUDED.end_ns,
    otlp = EXCLUDED.otlp, content = EXCLUDED.content, tokens = EXCLUDED.tokens,
    cost = EXCLUDED.cost
WHERE EXCLUDED.end_ns >= known.end_ns

-- amounts --
-- Of traces that have any, every span: a sum over a tree needs those between as well.
SELECT trace_id, span_id, parent_id, tokens, cost FROM tracker.span
WHERE project = $1 AND trace_id IN (
    SELECT trace_id FROM tracker.span
    WHERE project = $1 AND trace_id = ANY($2::text[]) AND (tokens IS NOT NULL OR cost IS NOT NULL)
)

-- delete_spans --
DELETE FROM tracker.span WHERE project = $1 AND trace_id = ANY($2::text[])

-- spans --
-- In the order they began, up to about as many bytes: the first always.
SELECT span_id, parent_id, name, type, status, start_ns, end_ns, otlp
FROM (
    SELECT *, sum(octet_length(otlp)) OVER (ORDER BY start_ns, span_id) - octet_length(otlp) AS before
    FROM (
        SELECT * FROM tracker.span
        WHERE project = $1 AND trace_id = $2 AND (start_ns, span_id) > ($3, $4)
        ORDER BY start_ns, span_id LIMIT $5
    ) page
) measured
WHERE before < $6
ORDER BY start_ns, span_id

-- with_spans --
SELECT w.name
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (name, project, trace_id)
WHERE EXISTS (SELECT 1 FROM tracker.span s WHERE s.project = w.project AND s.trace_id = w.trace_id)

-- trace --
SELECT name, project, trace_id, state, time_us, duration_us, client_request_id, tags, metadata, more
FROM trace WHERE name = $1

-- assessments --
SELECT trace, assessment_id, kind, assessment_name, value, content
FROM trace_assessment WHERE trace = ANY($1::text[])

-- runs --
SELECT trace, run_id FROM trace_run WHERE trace = ANY($1::text[]) ORDER BY trace, run_id

-- more_spans --
SELECT EXISTS (
    SELECT 1 FROM tracker.span
    WHERE project = $1 AND trace_id = $2 AND (start_ns, span_id) > ($3, $4)
)
