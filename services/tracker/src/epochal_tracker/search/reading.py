"""Running a lark grammar: text to tree, with errors that say where and what was expected."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Final

from epochal_kernel.errors import InvalidArgument
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from epochal_tracker.search.fields import wrong

Parsed = Tree[Token]

#: Groups within groups: deeper ones are refused, before recursion would.
MAX_DEPTH: Final = 100

#: Conditions of one filter.
MAX_CONDITIONS: Final = 500


@cache
def grammar(name: str) -> Lark:
    """Return the parser of a grammar file."""
    text = resources.files("epochal_tracker.search").joinpath("grammars", f"{name}.lark")
    return Lark(text.read_text(), parser="lalr", lexer="contextual", maybe_placeholders=False)


def read(name: str, text: str, expected: str, asked: str = "filter") -> Parsed | None:
    """Parse text; None when it is empty.

    Raises:
        InvalidArgument: says what is wrong and where.
    """
    if not text.strip():
        return None
    _check_size(text, asked)
    try:
        return grammar(name).parse(text)
    except UnexpectedInput as error:
        raise _refusal(error, text, expected, asked) from None


def unquoted(text: str) -> str:
    """Return quoted text without its quotes and escapes."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _refusal(error: UnexpectedInput, text: str, expected: str, asked: str) -> InvalidArgument:
    place = error.pos_in_stream if isinstance(error.pos_in_stream, int) else -1
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    where, hint = "the end", "nothing follows"
    if place >= 0 and not ended:
        where, hint = f"character {place + 1}", f"found {_word(text[place:])!r}"
        if text[place : place + 1] in ("'", '"', "(", ")", ",", "|", ":"):
            hint += "; quote names and values that hold it"
    shown = text if len(text) <= 200 else text[:200] + "..."
    return wrong(f"expected {expected} (at {where} of {shown!r}: {hint})", asked)


def _word(text: str) -> str:
    match = re.match(r"\w+|\S", text)
    return match.group() if match else text[:1]


def _check_size(text: str, asked: str) -> None:
    depth = deepest = 0
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    for letter in bare:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or len(re.findall(r"\bNOT\b", bare, re.IGNORECASE)) > MAX_DEPTH:
        raise wrong(f"at most {MAX_DEPTH} groups or NOTs are read", asked, "depth")
