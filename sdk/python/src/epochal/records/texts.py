"""Texts, pages, charts, references and other small things as records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import epochal_proto.v1 as pb

from epochal.digests import file_sha256
from epochal.records.made import Made, package, wrong

EXCERPT: Final = 500
_TYPES: Final = {
    "text": ("text/plain", ".txt"),
    "html": ("text/html", ".html"),
    "markdown": ("text/markdown", ".md"),
}


@runtime_checkable
class _SaysJson(Protocol):
    def to_json(self) -> str: ...


def encode_text(kind: str, text: object, caption: str = "") -> Made:
    """Encodes "text", "html" or "markdown".

    Raises:
        InvalidArgument: It is no text.
    """
    if isinstance(text, Path):
        text = text.read_text(encoding="utf-8")
    if not isinstance(text, str):
        raise wrong(
            kind, "text", f"{kind} is a text or the Path of a file, not {type(text).__name__}"
        )
    media, suffix = _TYPES[kind]
    # A lone surrogate is no UTF-8; what a model printed must not end the training.
    content = text.encode("utf-8", "backslashreplace")
    excerpt = content[: 4 * EXCERPT].decode("utf-8", "ignore")[:EXCERPT]
    summary = pb.TextSummary(characters=len(text), excerpt=excerpt)
    about = pb.Record(kind=kind, media_type=media, caption=caption, text=summary)
    return Made(about, content, suffix)


def encode_chart(library: str, chart: object, caption: str = "") -> Made:
    """Encodes a chart as the JSON that its library draws it from.

    Args:
        library: "plotly", "vega" or "bokeh".
        chart: a figure, a specification (mapping) or its JSON.
        caption: to show with it.

    Raises:
        InvalidArgument: It is none of these.
        FailedPrecondition: The library is not installed.
    """
    if isinstance(chart, str):
        text = chart
    elif isinstance(chart, dict):
        text = json.dumps(chart)
    elif library == "bokeh":
        embed = package("bokeh.embed", "a chart of Bokeh")
        text = json.dumps(embed.json_item(chart))
    elif isinstance(chart, _SaysJson):
        text = chart.to_json()
    else:
        raise wrong("chart", "chart", f"{type(chart).__name__} is no chart of {library}")
    try:
        json.loads(text)
    except ValueError as error:
        raise wrong("chart", "json", f"a chart's specification is JSON: {error}") from None
    summary = pb.ChartSummary(library=library)
    about = pb.Record(kind="chart", media_type="application/json", caption=caption, chart=summary)
    return Made(about, text.encode(), ".json")


def encode_json(kind: str, value: object, caption: str = "") -> Made:
    """Encodes something of no kind above as JSON; what JSON cannot say becomes its `str`."""
    text = json.dumps(value, sort_keys=True, default=str)
    about = pb.Record(kind=kind, media_type="application/json", caption=caption[:2000])
    return Made(about, text.encode(), ".json")


def encode_reference(kind: str, target: str | Path, digest: str = "") -> Made:
    """Refers to a file, a folder or a URI that is not copied; of a file the digest is kept.

    Raises:
        OSError: The file cannot be read.
    """
    said = str(target)
    about: dict[str, object] = {"target": said}
    path = Path(said).expanduser()
    if "://" not in said and path.exists():
        about["target"] = str(path.resolve())
        if path.is_file():
            about["size_bytes"] = path.stat().st_size
            digest = digest or f"sha256:{file_sha256(path).hex()}"
    if digest:
        about["digest"] = digest
    return encode_json(kind, about, said)
