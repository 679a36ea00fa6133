"""The configuration of an embedded PostgreSQL."""

from __future__ import annotations

from epochal_embedded.servers.ports import LOOPBACK

SETTINGS = f"""\
# Written by Epochal at every start; put settings of your own in postgresql.auto.conf.
listen_addresses = '{LOOPBACK}'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 120
shared_buffers = '96MB'
maintenance_work_mem = '64MB'
wal_buffers = '4MB'
max_wal_size = '1GB'
checkpoint_completion_target = 0.9
effective_cache_size = '512MB'
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
log_checkpoints = off
log_line_prefix = '%m [%p] '
idle_in_transaction_session_timeout = '60s'
client_connection_check_interval = '5s'
tcp_keepalives_idle = 60
"""
DURABLE = """\
fsync = on
synchronous_commit = on
full_page_writes = on
"""
# Commits still reach the operating system one by one, so a killed server loses none of them.
VOLATILE = """\
fsync = off
synchronous_commit = on
full_page_writes = off
"""
