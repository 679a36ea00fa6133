from __future__ import annotations

import sys

import asyncpg
import pytest
from epochal_kernel import errors
from epochal_kernel.errors import EpochalError, Violation, from_status, to_status
from epochal_kernel.postgres import adapting, connect, load_sql
from google.rpc import code_pb2, status_pb2


def all_kinds(kind: type[EpochalError] = EpochalError) -> list[type[EpochalError]]:
    found = [kind] if kind.__module__ == errors.__name__ else []
    return found + [each for child in kind.__subclasses__() for each in all_kinds(child)]


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_every_error_survives_the_wire(kind: type[EpochalError]) -> None:
    error = kind(
        "what happened\nand what to do",
        violations=[Violation("a.b", "rule", "do this"), Violation("c", "other", "do that")],
        resource="orgs/acme",
        retry_after_s=0.25,
    )
    back = from_status(status_pb2.Status.FromString(to_status(error).SerializeToString()))
    assert type(back) is kind
    assert (back.message, back.reason, back.violations, back.resource, back.retry_after_s) == (
        error.message,
        error.reason,
        error.violations,
        error.resource,
        error.retry_after_s,
    )
    assert (back.grpc_code, back.retryable) == (kind.grpc_code, kind.retryable)


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_every_error_says_something_and_has_a_code_that_grpc_knows(
    kind: type[EpochalError],
) -> None:
    assert kind().message == (kind.__doc__ or "").splitlines()[0]
    assert code_pb2.Code.Value(kind.grpc_code)


def test_a_reason_of_its_own_is_kept() -> None:
    back = from_status(to_status(errors.Unavailable("x", reason="DRAINING")))
    assert (type(back), back.reason) == (errors.Unavailable, "DRAINING")


def test_a_status_of_another_system_is_still_an_error() -> None:
    assert type(from_status(status_pb2.Status(code=999, message="odd"))) is EpochalError
    assert type(from_status(status_pb2.Status(code=5, message="gone"))) is errors.NotFound
    # A reason that belongs to another code proves nothing.
    odd = to_status(errors.NotFound("x", reason="VERSION_CONFLICT"))
    assert type(from_status(odd)) is errors.NotFound


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (asyncpg.ConnectionDoesNotExistError("x"), errors.Unavailable),
        (asyncpg.InterfaceError("released"), errors.Unavailable),
        (asyncpg.InternalClientError("state 15"), errors.Unavailable),
        (ConnectionRefusedError("x"), errors.Unavailable),
        (TimeoutError(), errors.Unavailable),
        (asyncpg.DeadlockDetectedError("x"), errors.Unavailable),
        (asyncpg.DiskFullError("x"), errors.ResourceExhausted),
        (asyncpg.OutOfMemoryError("x"), errors.ResourceExhausted),
        (asyncpg.UniqueViolationError("x"), errors.Internal),
        (asyncpg.UndefinedTableError("x"), errors.Internal),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_driver_errors_stop_at_the_door(raised: Exception, expected: type[EpochalError]) -> None:
    with pytest.raises(expected) as caught, adapting():
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised
    assert caught.value.message.strip(": ")


async def test_a_value_that_does_not_fit_is_a_mistake_and_no_outage(database: str) -> None:
    """Or a consumer would try for ever what can never work."""
    pool = await connect(database, name="errors", max_size=1)
    for query, value in (("SELECT $1::int4", 2**40), ("SELECT $1::text", 7), ("SELECT $1", "\0")):
        with pytest.raises(errors.Internal), adapting():
            await pool.fetchval(query, value)
    await pool.close()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(errors.Unavailable):
        await connect("postgresql://nobody@127.0.0.1:1/nothing", name="errors")


def test_named_statements_are_read() -> None:
    statements = load_sql("epochal_tracker", "ingest.sql")
    assert statements["ensure_day"] == "SELECT tracker.ensure_old_day($1)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- a --\nSELECT 1;\n-- a --\nSELECT 2;\n", "comes twice"),
        ("SELECT 1;\n", "no line of the form"),
    ],
)
def test_statements_that_are_named_wrongly_are_refused(
    text: str,
    problem: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("package")
    (folder / "wrong_sql" / "sql").mkdir(parents=True)
    (folder / "wrong_sql" / "__init__.py").touch()
    (folder / "wrong_sql" / "sql" / "x.sql").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "wrong_sql", raising=False)
    with pytest.raises(ValueError, match=problem):
        load_sql("wrong_sql", "x.sql")
