CREATE TABLE openlineage_node (
    name text PRIMARY KEY, kind text NOT NULL, namespace text NOT NULL, title text NOT NULL,
    state text NOT NULL, state_time timestamptz, start_time timestamptz, end_time timestamptz,
    facets text NOT NULL
);
