-- unhurried --
SELECT set_config('synchronous_commit', 'off', false), set_config('work_mem', '64MB', false),
       -- Rows that refer to each other come in any order; all of them come.
       set_config('session_replication_role', 'replica', false)

-- settle --
ANALYZE
