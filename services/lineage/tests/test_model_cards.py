"""Cards: a head that YAML reads, what people wrote and who, nothing that breaks a table."""

from __future__ import annotations

import math

import epochal_proto.v1 as pb
import yaml
from epochal_lineage.domain.cards import CardFacts, DatasetUse, render
from hypothesis import given
from hypothesis import strategies as st

MODEL = "orgs/acme/projects/vision/models/digits"


def facts(**more: object) -> CardFacts:
    version = pb.ModelVersion(
        name=f"{MODEL}/versions/3",
        version=3,
        run="orgs/acme/projects/vision/runs/1",
        digest="sha256:ab",
        model_display_name="Digits",
        flavor="sklearn",
        metrics={"acc": 0.93, "loss": math.nan, "sys/cpu_percent": 12.0},
        signature_json='{"inputs": "[]"}',
        tags={"license": "apache-2.0", "team": "vision"},
        file_count=60,
    )
    known: dict[str, object] = {
        "model": pb.Model(name=MODEL, description="Reads digits."),
        "version": version,
        "run": pb.Run(name=version.run, display_name="a | b", creator="users/ann"),
        "params": {"lr": "0.1"},
        "datasets": [DatasetUse("mnist", "sha256:cd", "s3://data/mnist")],
        "files": [pb.ModelVersionFile(path=f"w{n}", sha256=b"\x01" * 32) for n in range(50)],
        "promotions": [
            pb.Promotion(
                stage="Production",
                kind=pb.PROMOTION_KIND_EMERGENCY,
                state=pb.PROMOTION_STATE_COMPLETED,
                requester="users/rob",
                reason="fire",
                gates=[
                    pb.GateResult(rule="metrics.acc >= 0.95", reason="0.93 >= 0.95"),
                    pb.GateResult(rule="from Staging", passed=True, reason="it is in Staging"),
                ],
                approvals=[pb.GateApproval(approver="users/bea", role="admin")],
                review_open=True,
            )
        ],
        "sections": {pb.CARD_SECTION_LIMITATIONS: ("Not for letters.", "users/bea")},
    }
    return CardFacts(**(known | more))  # type: ignore[arg-type]  # as named


def head(card: str) -> dict[str, object]:
    _, text, _ = card.split("---\n", 2)
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def test_what_the_machine_did_is_not_in_the_card() -> None:
    assert "sys/" not in render(facts())


def test_the_head_is_what_the_hugging_face_hub_reads() -> None:
    found = head(render(facts()))
    assert found["library_name"] == "sklearn"
    assert found["license"] == "apache-2.0"
    assert found["tags"] == ["epochal", "team:vision"]
    assert found["datasets"] == ["mnist"]
    assert found["metrics"] == ["acc"], "NaN is no result"
    (model,) = found["model-index"]  # type: ignore[misc]  # a list, as the next lines show
    assert model["name"] == "Digits"
    (result,) = model["results"]
    assert result["metrics"] == [{"type": "acc", "name": "acc", "value": 0.93}]
    assert result["dataset"] == {"type": "mnist", "name": "mnist"}


def test_the_body_tells_data_gates_people_and_what_nobody_wrote() -> None:
    card = render(facts())
    assert "# Digits, version 3" in card
    assert "## Limitations\n\nNot for letters.\n\n*Written by users/bea.*" in card
    assert "## Intended use\n\n*Nobody has written it.*" in card
    assert "| mnist | `sha256:cd` | s3://data/mnist |" in card
    assert "| metrics.acc >= 0.95 | **shut** | 0.93 >= 0.95 |" in card
    assert "Approved by users/bea (admin)." in card
    assert "**Its review is open.**" in card
    assert "And 10 more." in card
    assert "nan" in card
    bare = render(facts(run=None, datasets=(), promotions=(), files=(), sections={}))
    assert "*Its run has told of no data.*" in bare
    assert "*Nobody has asked for a place for it.*" in bare


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=10), st.text(max_size=10)))
def test_no_text_of_people_breaks_head_or_tables(text: str, tags: dict[str, str]) -> None:
    version = pb.ModelVersion(name=f"{MODEL}/versions/1", version=1, tags=tags)
    card = render(facts(version=version, params={text: text}, files=()))
    assert "epochal" in head(card)["tags"]  # type: ignore[operator]  # a list
    for line in card.split("\n"):
        if line.startswith("| ") and "Parameter" in line:
            assert line.count("|") == 3
