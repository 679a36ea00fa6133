-- An alert may stop its run.
ALTER TABLE scheduler.task DROP CONSTRAINT task_kind_check;
ALTER TABLE scheduler.task ADD CONSTRAINT task_kind_check
    CHECK (kind IN ('release', 'publish', 'settle', 'retry', 'expire', 'timeout', 'hooks', 'stop'));
