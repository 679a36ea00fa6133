"""Sandboxes: platforms whose history begins as a copy of another platform's.

`mark` says that a data folder is one, `databases` and `sources` find what is copied. It is copied
by `copying`, `views`, `telemetry` and `objects`, and held by `proving` against what the source has
signed; `forking` does all of it in order. `comparing` tells what this release makes of the same
history.
"""
