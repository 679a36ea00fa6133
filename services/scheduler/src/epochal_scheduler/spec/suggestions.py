"""Guesses at what was meant, from the names that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Comparing costs; of more names than this only those with the same first letter are looked at.
MAX_COMPARED = 300


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns a sentence with the nearest known names, to be put after an error message.

    Lists all names when there are few and none is near, so that the reader never has to look up
    a manual; empty when there is nothing to suggest.
    """
    names = sorted(known)
    if len(names) > MAX_COMPARED:
        names = [name for name in names if name[:1].lower() == word[:1].lower()][:MAX_COMPARED]
    folded = {name.lower().replace("_", ""): name for name in names}
    near = difflib.get_close_matches(word.lower().replace("_", ""), folded, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{folded[name]}'" for name in near) + "?"
    if 0 < len(names) <= 12:
        return "known here: " + ", ".join(names)
    return ""
