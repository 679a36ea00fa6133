"""What the platform takes of a record, held against each before it joins a batch.

One that was refused would take hundreds of others with it: they are sent together.
"""

from __future__ import annotations

import re
from typing import Final

import epochal_proto.v1 as pb

from epochal.records.made import wrong

_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"[0-9a-f]{16}")
MOST_NAME: Final = 250
MOST_CAPTION: Final = 2_000
MOST_BOXES: Final = 200


def check(about: pb.Record, series: str, step: int | None) -> None:
    """Holds a record against the rules of `epochal.v1.Record`.

    Raises:
        InvalidArgument: It breaks one; the violation names the field.
    """
    if not isinstance(series, str) or not 0 < len(series) <= MOST_NAME or "\0" in series:
        raise wrong("name", "name", f"a name has 1 to {MOST_NAME} characters, not {series!r}")
    try:
        series.encode()
    except UnicodeEncodeError:
        raise wrong("name", "utf8", f"a name is text that UTF-8 can say, not {series!r}") from None
    if step is not None and not -(2**63) <= step < 2**63:
        raise wrong("step", "int64", f"a step is a whole number of 64 bits, not {step}")
    if not _KIND.fullmatch(about.kind):
        raise wrong("kind", "kind", f"a kind is a word such as 'image', not {about.kind!r}")
    if len(about.caption) > MOST_CAPTION:
        raise wrong(
            "caption",
            "max_len",
            f"a caption has at most {MOST_CAPTION} characters, not {len(about.caption)}",
        )
    if len(about.image.boxes) > MOST_BOXES:
        raise wrong(
            "boxes",
            "max_items",
            f"an image has at most {MOST_BOXES} boxes, not {len(about.image.boxes)}: log the best",
        )
    if any(len(box.label) > MOST_NAME for box in about.image.boxes):
        raise wrong("labels", "max_len", f"a label has at most {MOST_NAME} characters")
    if about.HasField("span"):
        _check_span(about.span)


def _check_span(span: pb.SpanSummary) -> None:
    parent = span.parent_span_id or "0" * 16
    for field, rule, digits, given in (
        ("trace_id", _TRACE, 32, span.trace_id),
        ("span_id", _SPAN, 16, span.span_id),
        ("parent_span_id", _SPAN, 16, parent),
    ):
        if not rule.fullmatch(given):
            raise wrong(field, "hex", f"{field} is {digits} hexadecimal digits, not {given!r}")
    if len(span.span_kind) > 50 or len(span.status) > 20:
        raise wrong("kind", "max_len", "the kind of a span is a word such as 'llm'")
