"""Sandboxes: platforms whose history begins as a copy of another platform's.

`mark` says that a data folder is one, `databases` and `sources` find what is copied, `copying`,
`views` and `objects` copy it, `proving` holds the copy against what the source signed, `forking`
does all of it in order, and `comparing` tells what this release makes of the same history.
"""
