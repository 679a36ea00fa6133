"""Cards of models: Markdown from what the log has, with the head that the Hugging Face hub reads.

The head follows https://github.com/huggingface/hub-docs/blob/main/modelcard.md: `library_name`,
`license`, `tags`, `datasets`, `metrics` and `model-index`. What only people know (what it is for,
where it is wrong) is theirs, and a card says plainly when nobody has written it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import epochal_proto.v1 as pb
import yaml

_SECTIONS: Final = (
    (pb.CARD_SECTION_INTENDED_USE, "Intended use"),
    (pb.CARD_SECTION_LIMITATIONS, "Limitations"),
    (pb.CARD_SECTION_RISKS, "Bias and risks"),
)
FILES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """A dataset that the version's run read."""

    name: str
    digest: str
    uri: str


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card is made of.

    Attributes:
        sections: what people wrote, with whoever did.
        params: of the run, as text.
        promotions: of this version, oldest first.
    """

    model: pb.Model
    version: pb.ModelVersion
    run: pb.Run | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[DatasetUse] = ()
    files: Sequence[pb.ModelVersionFile] = ()
    promotions: Sequence[pb.Promotion] = ()
    sections: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def render(facts: CardFacts) -> str:
    """Return the card."""
    version = facts.version
    title = version.model_display_name or facts.model.name.rpartition("/")[2]
    parts = [
        f"---\n{_head(facts, title)}---\n",
        f"# {_line(title)}, version {version.version}\n",
        *(f"{text}\n" for text in (facts.model.description, version.description) if text),
        *_written(facts),
        *_provenance(facts),
        *_training(facts),
        *_metrics(version),
        *_schema(version),
        *_promotions(facts),
        *_files(facts),
    ]
    return "\n".join(parts)


def _head(facts: CardFacts, title: str) -> str:
    version = facts.version
    tags = {**facts.model.tags, **version.tags}
    datasets = sorted({one.name for one in facts.datasets})
    measured = {name: value for name, value in _measured(version) if math.isfinite(value)}
    head: dict[str, object] = {}
    if version.flavor:
        head["library_name"] = version.flavor
    head |= {name: tags[name] for name in ("license", "language", "pipeline_tag") if name in tags}
    head["tags"] = sorted({"epochal", *(f"{name}:{value}" for name, value in _short(tags))})
    if datasets:
        head["datasets"] = datasets
    if measured:
        head["metrics"] = sorted(measured)
        named = datasets[0] if datasets else "not recorded"
        head["model-index"] = [
            {
                "name": title,
                "results": [
                    {
                        "task": {"type": tags.get("pipeline_tag", "other")},
                        "dataset": {"type": named, "name": named},
                        "metrics": [
                            {"type": name, "name": name, "value": value}
                            for name, value in sorted(measured.items())
                        ],
                    }
                ],
            }
        ]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _short(tags: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    special = ("license", "language", "pipeline_tag")
    return [
        (name, value)
        for name, value in tags.items()
        if name not in special and not name.startswith("mlflow.") and len(name + value) <= 60
    ]


def _written(facts: CardFacts) -> list[str]:
    parts: list[str] = []
    for section, heading in _SECTIONS:
        parts.append(f"## {heading}\n")
        text, author = facts.sections.get(section, ("", ""))
        parts.append(
            f"{text}\n\n*Written by {author}.*\n" if text else "*Nobody has written it.*\n"
        )
    return parts


def _provenance(facts: CardFacts) -> list[str]:
    version = facts.version
    rows = [
        ("Version", f"`{version.name}`"),
        ("Digest", f"`{version.digest}`" if version.digest else "not known: no bytes here"),
        ("Registered by", version.creator),
        ("Registered at", version.create_time.ToJsonString()),
        ("Run", f"`{version.run}`" if version.run else ""),
        ("Source", f"`{version.source}`" if version.source else ""),
        ("Stage", version.stage or "none"),
        ("Aliases", ", ".join(version.aliases)),
        ("Signed by keys", ", ".join(f"`{one[:16]}`" for one in version.signed_by)),
    ]
    return ["## Where it is from\n", _table(("What", "Value"), [one for one in rows if one[1]])]


def _training(facts: CardFacts) -> list[str]:
    parts: list[str] = ["## Data\n"]
    if facts.datasets:
        rows = [
            (one.name, f"`{one.digest}`" if one.digest else "", one.uri) for one in facts.datasets
        ]
        parts.append(_table(("Dataset", "Digest", "Where"), rows))
    else:
        parts.append("*Its run has told of no data.*\n")
    if facts.run is not None:
        run = facts.run
        parts += [
            "## Training\n",
            f"Run `{run.name}` ({_line(run.display_name) or 'without a name'}), "
            f"started by {run.creator}.\n",
        ]
        if facts.params:
            parts.append(_table(("Parameter", "Value"), sorted(facts.params.items())))
    return parts


def _metrics(version: pb.ModelVersion) -> list[str]:
    rows = [(name, f"{value:.6g}") for name, value in _measured(version)]
    if not rows:
        return []
    return [
        "## Metrics\n",
        "As they were when it was registered.\n",
        _table(("Metric", "Value"), rows),
    ]


def _measured(version: pb.ModelVersion) -> list[tuple[str, float]]:
    """Return what was measured of the model, not of the machine it was made on."""
    return [one for one in sorted(version.metrics.items()) if not one[0].startswith("sys/")]


def _schema(version: pb.ModelVersion) -> list[str]:
    if not version.signature_json:
        return []
    text = json.dumps(json.loads(version.signature_json), indent=1, ensure_ascii=False)
    return ["## Inputs and outputs\n", f"```json\n{text}\n```\n"]


def _promotions(facts: CardFacts) -> list[str]:
    parts = ["## Promotions\n"]
    if not facts.promotions:
        return [*parts, "*Nobody has asked for a place for it.*\n"]
    for one in facts.promotions:
        kind = pb.PromotionKind.Name(one.kind).removeprefix("PROMOTION_KIND_").lower()
        state = pb.PromotionState.Name(one.state).removeprefix("PROMOTION_STATE_").lower()
        place = one.stage or one.alias
        parts.append(
            f"### {_line(place)}: {state} ({kind})\n\nAsked for by {one.requester} at "
            f"{one.create_time.ToJsonString()}{f': {_line(one.reason)}' if one.reason else '.'}\n"
        )
        if one.gates:
            rows = [
                (gate.rule, "open" if gate.passed else "**shut**", gate.reason)
                for gate in one.gates
            ]
            parts.append(_table(("Gate", "", "Why"), rows))
        if one.approvals:
            said = ", ".join(f"{given.approver} ({given.role})" for given in one.approvals)
            parts.append(f"Approved by {said}.\n")
        if one.rejection:
            parts.append(f"Rejected: {_line(one.rejection)}\n")
        if one.review_open:
            parts.append("**Its review is open.**\n")
        elif one.review:
            parts.append(f"Reviewed by {one.reviewer}: {_line(one.review)}\n")
    return parts


def _files(facts: CardFacts) -> list[str]:
    if not facts.files:
        return []
    rows = [
        (f"`{one.path}`", str(one.size_bytes), f"`{one.sha256.hex()}`")
        for one in facts.files[:FILES_SHOWN]
    ]
    parts = ["## Files\n", _table(("Path", "Bytes", "sha256"), rows)]
    if facts.version.file_count > len(rows):
        parts.append(f"And {facts.version.file_count - len(rows)} more.\n")
    return parts


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
