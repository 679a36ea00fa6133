"""What can be asked of models, versions and logged models, and the SQL of each field."""

from __future__ import annotations

from typing import Final

from epochal_lineage.searching.clauses import Kind, SortKey, Vocabulary
from epochal_lineage.searching.compiler import Parameters, milliseconds

_TAGS: Final = {"tag": "tags"}
_TIMES: Final = {"creation_timestamp": Kind.NUMBER, "last_updated_timestamp": Kind.NUMBER}

MODELS: Final = Vocabulary(
    # MLflow sorts models by "timestamp" too: when they were last changed.
    {"name": Kind.TEXT, "timestamp": Kind.NUMBER, **_TIMES},
    {"tags": Kind.TEXT},
    _TAGS,
)

VERSIONS: Final = Vocabulary(
    {
        "name": Kind.TEXT,
        "version_number": Kind.NUMBER,
        "run_id": Kind.TEXT,
        "source_path": Kind.TEXT,
        **_TIMES,
    },
    {"tags": Kind.TEXT},
    _TAGS,
)

LOGGED_MODELS: Final = Vocabulary(
    {
        "name": Kind.TEXT,
        "model_id": Kind.TEXT,
        "model_type": Kind.TEXT,
        "status": Kind.TEXT,
        "source_run_id": Kind.TEXT,
        "creation_timestamp": Kind.NUMBER,
        "creation_time": Kind.NUMBER,
        "last_updated_timestamp": Kind.NUMBER,
    },
    {"tags": Kind.TEXT, "params": Kind.TEXT, "metrics": Kind.NUMBER},
    {"tag": "tags", "param": "params", "metric": "metrics"},
)

MODEL_DEFAULT: Final = (SortKey("", "name", Kind.TEXT, False),)
MODEL_LAST: Final = SortKey("", "resource", Kind.TEXT, False)
VERSION_DEFAULT: Final = (
    SortKey("", "last_updated_timestamp", Kind.NUMBER, True),
    SortKey("", "name", Kind.TEXT, False),
    SortKey("", "version_number", Kind.NUMBER, True),
)
LOGGED_DEFAULT: Final = (SortKey("", "creation_timestamp", Kind.NUMBER, True),)

_MODEL: Final = {
    "name": "m.display_name",
    "resource": "m.name",
    "creation_timestamp": milliseconds("m.create_time"),
    "timestamp": milliseconds("m.update_time"),
    "last_updated_timestamp": milliseconds("m.update_time"),
}
_VERSION: Final = {
    "name": "m.display_name",
    "resource": "v.model || '/versions/' || lpad(v.version::text, 9, '0')",
    "version_number": "v.version::float8",
    "run_id": "v.run_id",
    "source_path": "v.source",
    "creation_timestamp": milliseconds("v.create_time"),
    "last_updated_timestamp": milliseconds("v.update_time"),
}
_LOGGED: Final = {
    "name": "l.display_name",
    "resource": "l.name",
    "model_id": "right(l.name, 34)",
    "model_type": "l.model_type",
    "status": "CASE l.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' ELSE 'FAILED' END",
    "source_run_id": "replace(right(l.run, 36), '-', '')",
    "creation_timestamp": milliseconds("l.create_time"),
    "creation_time": milliseconds("l.create_time"),
    "last_updated_timestamp": milliseconds("l.update_time"),
}


#: Tells prompts from models; what does not have it is a model.
_IS_PROMPT: Final = "mlflow.prompt.is_prompt"


def express_model(group: str, name: str, parameters: Parameters) -> str:
    """Return a field of a model as SQL."""
    return _tag("m", name, parameters) if group else _MODEL[name]


def express_version(group: str, name: str, parameters: Parameters) -> str:
    """Return a field of a version as SQL."""
    return _tag("v", name, parameters) if group else _VERSION[name]


def _tag(table: str, name: str, parameters: Parameters) -> str:
    found = f"({table}.tags ->> {parameters.add(name)})"
    return f"coalesce({found}, 'false')" if name == _IS_PROMPT else found


class ExpressLogged:
    """Fields of logged models as SQL; metrics count only as measured on the datasets given."""

    def __init__(self, datasets: str) -> None:
        """Take the condition on a row `d` of logged_metric, "true" for any dataset."""
        self._datasets = datasets

    def __call__(self, group: str, name: str, parameters: Parameters) -> str:
        """Return a field of a logged model as SQL."""
        if group == "metrics":
            return (
                "(SELECT d.value FROM logged_metric d WHERE d.logged_model = l.name "
                f"AND d.metric = {parameters.add(name)} AND {self._datasets} "
                "ORDER BY d.step DESC, d.time_us DESC, d.run, d.dataset_name, d.dataset_digest "
                "LIMIT 1)"
            )
        return f"(l.{group} ->> {parameters.add(name)})" if group else _LOGGED[name]
