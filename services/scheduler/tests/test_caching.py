"""Which runs are taken for equal, at which level that is switched, and how a hit is explained."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_scheduler.projections.results import ResultRow
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.working.caching import CacheLevels, cache_key, is_used, reuse
from epochal_scheduler.working.resources import amount, resources_of

PROJECT = "orgs/acme/projects/vision"
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
ON, OFF, NO_OPINION = pb.CACHE_USE_ON, pb.CACHE_USE_OFF, pb.CACHE_USE_UNSPECIFIED
TEXT = """
kind: operation
name: train
tags: [a]
queue: default
params: {lr: 1.0, label: one}
component:
  inputs: [{name: lr, type: float}, {name: label, type: str}]
  outputs: [{name: loss, type: float, isOptional: true}]
  run:
    kind: job
    init: [{git: {url: 'https://example.org/code.git', revision: main}}]
    container: {image: train:1, command: [train], args: ["{{ lr }}"], env: [{name: A, value: b}]}
"""


def compiled(text=TEXT, **params):
    scope = RunScope("acme", "vision", UUID(int=1), "users/a", NOW)
    return compile_operation([text.encode()], params, scope)


def key(text=TEXT, **params):
    return cache_key(compiled(text, **params), PROJECT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lr: 1.0", "lr: 2.0"),
        ("label: one", "label: two"),
        ("image: train:1", "image: train:2"),
        ("command: [train]", "command: [test]"),
        ("value: b}", "value: c}"),
        ("revision: main", "revision: next"),
        ("name: loss", "name: cost"),
        ("kind: job\n", "kind: service\n"),
    ],
)
def test_what_decides_the_outcome_changes_the_key(old, new):
    assert old in TEXT
    assert key(TEXT.replace(old, new)) != key()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: train\n", "name: other\n"),
        ("tags: [a]", "tags: [b]"),
        ("queue: default", "queue: gpu"),
        ("kind: operation", "kind: operation\ndescription: else"),
        ("kind: operation", "kind: operation\ntermination: {maxRetries: 9}"),
        ("kind: operation", "kind: operation\ncache: {ttl: 60}"),
    ],
)
def test_what_does_not_decide_it_does_not(old, new):
    assert old in TEXT
    assert key(TEXT.replace(old, new)) == key()


def test_results_belong_to_a_project_and_to_the_code_that_was_uploaded():
    made = compiled()
    keys = {
        cache_key(made, PROJECT), cache_key(made, "orgs/acme/projects/other"),
        cache_key(made, PROJECT, "runs/1"), cache_key(made, PROJECT, "runs/2"),
    }  # fmt: skip
    assert len(keys) == 4
    assert cache_key(made, PROJECT, "runs/1") == cache_key(compiled(), PROJECT, "runs/1")


def test_io_sections_and_a_key_of_its_own_narrow_what_counts():
    some = TEXT + "cache: {io: [lr]}\n"
    assert key(some, label="two") == key(some)
    assert key(some, lr=2.0) != key(some)
    sections = TEXT + "cache: {sections: [containers]}\n"
    assert key(sections.replace("revision: main", "revision: next")) == key(sections)
    assert key(sections.replace("train:1", "train:2")) != key(sections)
    own = TEXT + "cache: {key: mine}\n"
    assert key(own, lr=2.0) == key(own)
    assert key(own.replace("key: mine", "key: yours")) != key(own)


@pytest.mark.parametrize(
    ("cache", "levels", "used"),
    [
        ("", CacheLevels(), False),
        ("", CacheLevels(in_pipeline=True), True),
        ("", CacheLevels(project=ON), True),
        ("", CacheLevels(project=OFF, in_pipeline=True), False),
        ("", CacheLevels(caller=ON), True),
        ("", CacheLevels(caller=OFF, in_pipeline=True), False),
        ("cache: {}", CacheLevels(), True),
        ("cache: {disable: true}", CacheLevels(project=ON, in_pipeline=True), False),
        ("cache: {}", CacheLevels(project=OFF), False),
        ("cache: {}", CacheLevels(deployment=False), False),
        ("cache: {}", CacheLevels(caller=OFF), False),
        ("cache: {disable: true}", CacheLevels(caller=ON), True),
    ],
)
def test_the_caller_then_switches_then_the_operation_then_its_pipeline_decide(cache, levels, used):
    assert is_used(compiled(TEXT + cache), levels) is used


def row(age=timedelta(0), **params):
    given = {"lr": 1.0, "label": "one"} | params
    return ResultRow(
        PROJECT, "sha256:" + "0" * 64, UUID(int=2), f"{PROJECT}/runs/x", NOW - age,
        json.dumps(given), '{"loss": 0.5}',
    )  # fmt: skip


def test_a_hit_says_what_was_the_same_and_what_was_not():
    text = TEXT + "cache: {io: [lr]}\n"
    found = reuse(compiled(text), row(label="zero"), NOW)
    assert found.outputs["loss"].double_value == 0.5
    assert found.explanation == (
        f"reused {PROJECT}/runs/x: the same operation and inputs (lr), key sha256:000000000000; "
        'differs in label ("zero" -> "one"), which cache.io leaves out'
    )
    whole = reuse(compiled(), row(), NOW)
    assert whole.explanation.endswith("inputs (label, lr), key sha256:000000000000")


def test_a_result_that_is_too_old_is_none():
    text = TEXT + "cache: {ttl: 60}\n"
    assert reuse(compiled(text), row(timedelta(seconds=60)), NOW) is not None
    assert reuse(compiled(text), row(timedelta(seconds=61)), NOW) is None
    assert reuse(compiled(), row(timedelta(days=900)), NOW) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", 0.5), ("2", 2.0), (2, 2.0), (0.5, 0.5), ("1Ki", 1024.0), ("1.5Gi", 1.5 * 2**30),
        ("1e3", 1000.0), ("3M", 3e6), ("1k", 1e3), (" 4 ", 4.0), ("-1", 0.0), ("much", 0.0),
        ("", 0.0), (None, 0.0), (True, 0.0), (["1"], 0.0), ("1E", 0.0),
    ],
)  # fmt: skip
def test_amounts_are_read_as_kubernetes_writes_them(text, expected):
    assert amount(text) == expected


def test_requests_count_before_limits_and_gpus_of_every_maker():
    asked = {
        "limits": {"cpu": 4, "memory": "2Gi", "nvidia.com/gpu": 2, "tpu": 1},
        "requests": {"cpu": "250m", "none": 0},
    }
    found = resources_of(asked)
    assert (found.cpu_millis, found.memory_bytes, found.gpus) == (250, 2 * 2**30, 2)
    assert dict(found.custom) == {"tpu": 1.0}
    assert resources_of({}) == pb.Resources()
