"""The event log: one append-only, gapless, hash-chained sequence in PostgreSQL.

`appender` writes, `reader` reads pages and streams, `ledger` decides on folded streams, `chain`
verifies, `events` and `upcasting` are the shape of what is stored.
"""
