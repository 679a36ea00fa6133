"""A run that does nothing: for processes that must not log, such as all ranks but the first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Unpack

from epochal.digests import Content
from epochal.ending import Outcome
from epochal.logging_datasets import DatasetOptions, Origin
from epochal.results import Dataset, LoggedModel
from epochal.run import Run

NAME: Final = "orgs/none/projects/none/runs/00000000-0000-0000-0000-000000000000"


class SilentRun(Run):
    """Takes every call that a run takes, checks nothing, keeps nothing, starts nothing.

    Made by `epochal.init(no_op=True)` or EPOCHAL_NO_OP=1.
    """

    def __init__(self, on_finish: Callable[[Run], None]) -> None:  # does not call Run's: it opens
        self._silent_on_finish = on_finish
        self._ended = False

    @property
    def name(self) -> str:
        """The name of no run."""
        return NAME

    @property
    def id(self) -> str:
        """The UUID of no run."""
        return NAME.rpartition("/")[2]

    @property
    def project(self) -> str:
        """The name of no project."""
        return NAME.partition("/runs/")[0]

    @property
    def folder(self) -> Path:
        """Nothing is kept: the null device."""
        return Path("/dev/null")

    @property
    def owned(self) -> bool:
        """There is nothing to finish."""
        return False

    @property
    def dropped_points(self) -> int:
        """Nothing is dropped that is not to be kept."""
        return 0

    @property
    def pending_points(self) -> int:
        """Nothing waits."""
        return 0

    def log_artifact(self, path: str | Path, name: str | None = None, kind: str = "file") -> str:
        """Returns what its path would be."""
        return name or Path(path).name

    def log_model(
        self,
        model: object,
        name: str = "model",
        *,
        register: str | None = None,
        alias: str | None = None,
        description: str = "",
        flavor: str = "",
        schema: Mapping[str, object] | None = None,
        sign_key: str | Path | None = None,
    ) -> LoggedModel:
        """Returns where it would be; there is no version."""
        return LoggedModel(f"model/{name}")

    def use_dataset(
        self,
        name: str,
        data: object,
        digest: str | None = None,
        **more: Unpack[DatasetOptions],
    ) -> Dataset:
        """Returns the dataset without reading it."""
        known = Content(str(data) if isinstance(data, str | Path) else "", digest or "")
        return Dataset(name, known.uri, known.digest)

    def log_dataset(
        self,
        name: str,
        data: object,
        digest: str | None = None,
        *,
        columns: Mapping[str, Sequence[Origin]] | None = None,
        **more: Unpack[DatasetOptions],
    ) -> Dataset:
        """Returns the dataset without reading it."""
        return self.use_dataset(name, data, digest)

    def use_model(self, version: str) -> None:
        """Does nothing."""

    def log_tensorboard(self, folder: str | Path) -> int:
        """Reads nothing."""
        return 0

    def log_trace(self, spans: Iterable[object]) -> None:
        """Does nothing."""

    def finish(self, status: Outcome = "succeeded", message: str = "") -> None:
        """Ends it here."""
        if not self._ended:
            self._ended = True
            self._silent_on_finish(self)

    def log_succeeded(self, message: str = "") -> None:
        """Ends it here."""
        self.finish()

    log_failed = log_stopped = log_succeeded
    log_status = finish

    def abandon(self) -> None:
        """Ends it here."""
        self._ended = True

    def __repr__(self) -> str:
        return "<epochal.Run that does nothing>"


def _nothing(self: SilentRun, *args: object, **kwargs: object) -> None:
    """Does nothing."""


def _silence() -> None:
    """Every call of a run that returns nothing does nothing, those that will be added as well."""
    for name, call in inspect.getmembers(Run, inspect.isfunction):
        own = name in vars(SilentRun)
        if not own and not name.startswith("_") and call.__annotations__.get("return") == "None":
            setattr(SilentRun, name, _nothing)


_silence()
