CREATE TABLE watched (
    run_id uuid PRIMARY KEY, name text NOT NULL, org_id text NOT NULL, end_time timestamptz,
    rules bytea NOT NULL
);
CREATE INDEX watched_live ON watched (end_time NULLS FIRST);
CREATE TABLE alert (
    run text NOT NULL, rule text NOT NULL, metric text NOT NULL, number bigint NOT NULL,
    position bigint NOT NULL, project text NOT NULL, severity bigint NOT NULL, message text NOT NULL,
    value float8 NOT NULL, step bigint NOT NULL, raise_time timestamptz NOT NULL,
    resolve_time timestamptz, resolution text NOT NULL, PRIMARY KEY (run, rule, metric, number)
);
CREATE INDEX alert_by_project ON alert (project, position DESC);
CREATE INDEX alert_by_run ON alert (run, position DESC);
