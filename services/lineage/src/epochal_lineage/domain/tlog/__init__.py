"""The transparency log, pure: the tree of RFC 9162, its tiles and proofs, and signed notes."""
