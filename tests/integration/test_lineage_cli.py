"""`epochal lineage` and `epochal datasets` against a platform, from what a program has logged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import epochal
import pytest
from command_line import CommandLine
from epochal.config import Connection
from platform_world import Platform


@dataclass(frozen=True)
class Logged:
    """What the program has logged."""

    project: str
    prepare: str
    train: str
    clean: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def cli(platform: Platform, folder: Path) -> CommandLine:
    return CommandLine(platform, folder)


@pytest.fixture(scope="module")
def logged(platform: Platform, cli: CommandLine, folder: Path) -> Logged:
    project = f"told-{uuid4().hex[:8]}"
    cli("projects", "create", project)
    full = f"orgs/default/projects/{project}"
    raw, clean = folder / "raw.csv", folder / "clean.csv"
    raw.write_text("birth,label\n1990,a\n2001,b\n2010,b\n")
    clean.write_text("age,label\n36,a\n25,b\n16,b\n")
    where = Connection(platform.url, platform.token, full)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in cli.settings().items():
            patched.setenv(name, value)
        patched.setenv("EPOCHAL_PROJECT", full)
        patched.setenv("EPOCHAL_SPOOL", str(folder / "spool"))
        patched.setenv("EPOCHAL_CAPTURE", "0")
        assert where.project == full
        with epochal.init(name="prepare") as prepare:
            read = prepare.use_dataset("raw", raw)
            made = prepare.log_dataset(
                "clean",
                clean,
                store="chunks",
                rules=[{"kind": "unique", "column": "age"}],
                columns={"age": [(read.version, "birth", "transformation")]},
            )
        clean.write_text("age,label\n360,a\n250,b\n160,c\n,c\n")
        with epochal.init(name="train") as train:
            train.use_dataset("clean", digest=made.digest, data="file:///gone/clean.csv")
            train.log_model([1], register="m")
            train.log_dataset("clean", clean)
    return Logged(project, prepare.name, train.name, made.version)


def test_lineage_is_followed_from_the_terminal(cli: CommandLine, logged: Logged) -> None:
    at = ("-p", logged.project)
    model = "models/m/versions/1"
    up = cli.json("lineage", "upstream", model, *at)
    names = [node["name"].split("/", 4)[-1] for node in up["nodes"]]
    clean = logged.clean.split("/", 4)[-1]
    assert {model, logged.train.split("/", 4)[-1], clean} < set(names)
    shown = cli("lineage", "upstream", model, "--kind", "dataset", *at).stdout
    assert clean in shown
    assert model not in shown
    down = cli.json("lineage", "downstream", "datasets/raw", "--along", "used", *at)
    assert [edge["kind"] for edge in down["edges"]] == ["EDGE_KIND_USED"]
    early = cli.json("lineage", "downstream", "datasets/raw", "--as-of", up["position"], *at)
    assert early["position"] == up["position"]
    assert model in cli("lineage", "impact", "datasets/raw", *at).stdout
    assert cli.json("lineage", "impact", "datasets/raw", *at)["models"][0]["serving"] is False
    assert "prepare" in cli("lineage", "path", "datasets/raw", model, *at).stdout
    way = cli.json("lineage", "path", model, "datasets/raw", *at)
    assert way["nodes"][0]["name"].endswith(model)
    (column,) = cli.json("lineage", "columns", "datasets/clean", "age", *at)["edges"]
    assert (column["sourceColumn"], column["via"]) == ("birth", logged.prepare)
    assert "transformation" in cli("lineage", "columns", "datasets/clean", *at).stdout
    why = cli("lineage", "why", model, *at).stdout
    assert "registered by" in why
    assert "trained by" in why
    assert cli.json("lineage", "why", "prepare", *at)["causes"][0]["type"] == "RunCreated"
    assert clean in cli("lineage", "nodes", "--family", "datasets/clean", *at).stdout
    missing = cli("lineage", "upstream", "models/none/versions/1", *at, code=1).stderr
    assert "there is no" in missing
    assert "neither" in cli("lineage", "why", model, "--as-of", "soon", *at, code=1).stderr


def test_datasets_are_shown_compared_and_validated(
    cli: CommandLine, logged: Logged, folder: Path
) -> None:
    at = ("-p", logged.project)
    assert [one["name"].rsplit("/", 1)[1] for one in cli.json("datasets", "ls", *at)] == [
        "clean",
        "raw",
    ]
    version = logged.clean.rsplit("/", 1)[1]
    listed = cli("datasets", "ls", "clean", *at).stdout
    assert version in listed
    assert "chunks" in listed
    shown = cli("datasets", "show", f"clean@{version}", *at).stdout
    assert "unique" in shown
    assert "b (2)" in shown
    difference = cli.json("datasets", "diff", f"clean@{version}", "clean", *at)
    changed = {one["name"]: one["changed"] for one in difference["columns"]}
    assert changed == {"age": True, "label": True}
    assert (difference["oldRows"], difference["newRows"]) == ("3", "4")
    assert "3 -> 4" in cli("datasets", "diff", f"clean@{version}", "clean", *at).stdout
    rules = folder / "rules.yaml"
    rules.write_text("[{kind: range, column: age, max: 120}, {kind: rows, min: 1}]")
    held = cli("datasets", "validate", f"clean@{version}", "--rules", str(rules), *at)
    assert "NO" not in held.stdout
    broken = cli("datasets", "validate", "clean", "-f", str(rules), *at, code=1)
    assert "1 of 2 rules do not hold" in broken.stderr
    assert "1 of 2 fail" in cli("datasets", "ls", "clean", *at).stdout
    rules.write_text(json.dumps({"kind": "rows"}))
    assert (
        "no list of rules"
        in cli("datasets", "validate", "clean", "-f", str(rules), *at, code=1).stderr
    )
    assert "no version" in cli("datasets", "show", "none", *at, code=1).stderr


def test_a_version_comes_back_from_its_chunks(cli: CommandLine, logged: Logged) -> None:
    at = ("-p", logged.project)
    version = logged.clean.rsplit("/", 1)[1]
    cli("datasets", "get", f"clean@{version}", "--to", "back.csv", *at)
    assert (cli.folder / "back.csv").read_text() == "age,label\n36,a\n25,b\n16,b\n"
    refused = cli("datasets", "get", "raw", "--to", "x", *at, code=1).stderr
    assert "is not kept here" in refused
