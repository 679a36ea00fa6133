"""Looking into data: its rows, and of every column types, nulls, numbers, frequent values.

`sketching` sums up the values of one column, `frames` and `files` read what libraries hold and what
files have. Libraries are imported only to read what is already theirs.
"""
