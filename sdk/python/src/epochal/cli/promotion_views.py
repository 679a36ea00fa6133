"""Promotions of models, datasets and components as people see them."""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb
import typer
from rich.table import Table
from rich.text import Text

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_one,
    when,
)

COLUMNS: Final = [
    Column[pb.Promotion]("PROMOTION", lambda one: _short(one), "bold"),
    Column[pb.Promotion]("VERSION", lambda one: one.model_version.rpartition("/")[2], right=True),
    Column[pb.Promotion]("PLACE", lambda one: one.stage or one.alias),
    Column[pb.Promotion]("STATE", lambda one: _state(one)),
    Column[pb.Promotion]("KIND", lambda one: _word(pb.PromotionKind.Name(one.kind))),
    Column[pb.Promotion]("ASKED BY", lambda one: one.requester),
    Column[pb.Promotion]("REASON", lambda one: one.reason),
    Column[pb.Promotion]("CREATED", lambda one: when(one.create_time)),
]
_FIELDS: Final = [
    *COLUMNS,
    Column[pb.Promotion]("APPROVED BY", lambda one: " ".join(g.approver for g in one.approvals)),
    Column[pb.Promotion]("BEFORE", lambda one: one.old_version.rpartition("/")[2]),
    Column[pb.Promotion]("REJECTED", lambda one: one.rejection),
    Column[pb.Promotion]("REVIEW", lambda one: _review(one)),
]


def show_promotion(promotion: pb.Promotion, output: Output) -> None:
    """Shows a promotion with what each gate said."""
    if output is Output.json:
        print_json(as_json(promotion))
        return
    show_one(promotion, _FIELDS, output)
    if not promotion.gates:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("GATE", "", "WHY"):
        table.add_column(title, overflow="fold")
    for gate in promotion.gates:
        word = Text("open", "green") if gate.passed else Text("shut", "red")
        table.add_row(Text(gate.rule), word, Text(gate.reason))
    console().print(table)


def end_by(promotion: pb.Promotion, word: str) -> None:
    """Ends the command as a promotion stands: 0 when done, 1 when refused, 3 when people must say.

    Args:
        promotion: As it stands.
        word: Of which commands: "models", "datasets", "components".
    """
    if promotion.state == pb.PROMOTION_STATE_OPEN:
        errors_console().print(
            f"it waits for approval: `epochal {word} approve {_short(promotion)}`", highlight=False
        )
        raise typer.Exit(3)
    if promotion.state == pb.PROMOTION_STATE_REFUSED:
        errors_console().print("refused; nothing has moved", highlight=False)
        raise typer.Exit(1)


def _short(promotion: pb.Promotion) -> str:
    model, _, number = promotion.name.rpartition("/promotions/")
    return f"{model.rpartition('/')[2]}/{number}" if number else ""


def _state(promotion: pb.Promotion) -> str:
    word = _word(pb.PromotionState.Name(promotion.state))
    return f"{word}, review open" if promotion.review_open else word


def _review(promotion: pb.Promotion) -> str:
    if promotion.review_open:
        return "open"
    return f"{promotion.reviewer}: {promotion.review}" if promotion.reviewer else ""


def _word(name: str) -> str:
    return name.removeprefix("PROMOTION_STATE_").removeprefix("PROMOTION_KIND_").lower()
