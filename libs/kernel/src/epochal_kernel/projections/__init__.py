"""Read models: pure projectors over rows, applied in sets, rebuilt beside the live ones.

`tables` and `rows` are the vocabulary of projectors, `model` names what a service has, `store`
reads and writes it, `consumer` keeps it up to date, `rebuild` makes it anew.
"""
