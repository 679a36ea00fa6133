-- More things to do about runs, agents that say what they are, and how long runs took lately.
ALTER TABLE scheduler.task DROP CONSTRAINT task_kind_check;
ALTER TABLE scheduler.task ADD CONSTRAINT task_kind_check
    CHECK (kind IN ('release', 'publish', 'settle', 'retry', 'expire', 'timeout', 'hooks'));
DELETE FROM scheduler.task WHERE kind = 'release';

ALTER TABLE scheduler.agent ADD COLUMN slots integer NOT NULL DEFAULT 0;
ALTER TABLE scheduler.agent ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE scheduler.agent ADD COLUMN capacity bytea NOT NULL DEFAULT '';

-- Runs whose end is followed by something: a hook, a notification.
CREATE TABLE scheduler.hooked (
    run_id uuid PRIMARY KEY
);
