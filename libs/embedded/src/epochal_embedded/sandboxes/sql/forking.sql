-- unhurried --
SELECT set_config('synchronous_commit', 'off', false), set_config('work_mem', '64MB', false)

-- settle --
ANALYZE
