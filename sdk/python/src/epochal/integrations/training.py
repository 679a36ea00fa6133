"""What all integrations share: the run that a training belongs to, and numbers out of logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from epochal.ending import outcome_of
from epochal.errors import EpochalError, NoActiveRun
from epochal.notices import say
from epochal.run import Run
from epochal.tracking import current_run, init


@contextlib.contextmanager
def training_run(run: Run | None = None) -> Iterator[Run]:
    """The run that is given, else the current one, else one that begins and ends with the block."""
    if run is not None:
        yield run
        return
    try:
        found = current_run()
    except NoActiveRun:
        began = init()
        try:
            yield began
        except BaseException as error:
            began.finish(*outcome_of(error))
            raise
        began.finish()
    else:
        yield found


def log_numbers(run: Run, logs: Mapping[str, object], step: int | None, prefix: str = "") -> None:
    """Logs those of a library's values that are numbers, or hold one."""
    for name, value in logs.items():
        if isinstance(value, bool | str) or value is None:
            continue
        item = getattr(value, "item", None)
        try:
            number = float(item() if callable(item) else value)  # type: ignore[arg-type]  # anything
        except (TypeError, ValueError, RuntimeError):
            continue
        run.log_metric(f"{prefix}{name}", number, step)


def log_settings(run: Run, settings: Mapping[str, object], prefix: str = "") -> None:
    """Logs parameters that describe a training; one that has another value already is said.

    A second training in one run, or a value that JSON cannot say, must not end the training.
    """
    plain = {
        f"{prefix}{name}"[:250]: value
        if isinstance(value, int | float | str)
        else str(value)[:2000]
        for name, value in settings.items()
        if value is not None
    }
    try:
        run.log_params(plain)
    except EpochalError as error:
        say(f"settings of the training are not recorded: {error.message}")
