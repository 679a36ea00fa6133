-- What searches read of spans: names, attributes as text, events; and the amounts that are summed
-- over a trace. Spans that were stored before are found by name, type and status only.
ALTER TABLE tracker.span ADD COLUMN content jsonb NOT NULL DEFAULT '{}';
ALTER TABLE tracker.span ADD COLUMN tokens jsonb;
ALTER TABLE tracker.span ADD COLUMN cost jsonb;

-- For retention: spans come in about the order they began.
CREATE INDEX span_by_start ON tracker.span USING brin (start_ns);
