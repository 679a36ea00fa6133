CREATE TABLE live_run (
    run_id uuid PRIMARY KEY, fence bigint NOT NULL, attempt_position bigint NOT NULL,
    unsealed jsonb NOT NULL
);
