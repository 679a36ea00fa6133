"""Folders of event files into a run: what is there now, or what is written until the run ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from epochal.errors import EpochalError
from epochal.records.made import Made, wrong
from epochal.tensorboard.events import Scalar, read_event
from epochal.tensorboard.files import EventFile, event_files

POLL_S: Final = 2.0

LogSeries = Callable[[str, Iterable[float], Iterable[int], Iterable[int]], None]
LogRecord = Callable[[str, Made, int], None]


class Ingester:
    """One folder; each event is logged once, however often it is read."""

    def __init__(self, folder: str | Path, log_series: LogSeries, log_record: LogRecord) -> None:
        """Takes a folder, or one event file."""
        self._folder = Path(folder).expanduser()
        self._log_series = log_series
        self._log_record = log_record
        self._files: dict[Path, EventFile] = {}

    def read(self) -> int:
        """Logs what is new and returns how many points and records that was.

        Raises:
            DataLoss: A file is damaged; what came before is logged.
            EpochalError: The run takes no more.
        """
        return sum(self._read(path) for path in event_files(self._folder))

    def _read(self, path: Path) -> int:
        file = self._files.setdefault(path, EventFile(path))
        prefix = "" if path == self._folder else path.parent.relative_to(self._folder).as_posix()
        prefix = "" if prefix in ("", ".") else f"{prefix}/"
        points: dict[str, list[Scalar]] = {}
        count = 0
        try:
            for data in file.read():
                for found in read_event(data):
                    count += 1
                    name = f"{prefix}{found.tag}"[:250] or "_"
                    if isinstance(found, Scalar):
                        points.setdefault(name, []).append(found)
                    else:
                        self._log_record(name, found.made, found.step)
        finally:
            for name, scalars in points.items():
                self._log_series(
                    name,
                    [one.value for one in scalars],
                    [one.step for one in scalars],
                    [one.time_us for one in scalars],
                )
        return count


class Follower:
    """Reads a folder every two seconds until it is closed, in a thread of its own."""

    def __init__(
        self, ingester: Ingester, say: Callable[[str], None], every_s: float = POLL_S
    ) -> None:
        self._ingester = ingester
        self._say = say
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="epochal-tensorboard", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Reads what is left and ends the thread."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            last = self._over.wait(self._every_s)
            try:
                self._ingester.read()
            except (EpochalError, OSError) as error:
                self._say(f"event files are not followed any further: {error}")
                return
            if last:
                return


def existing_folder(folder: str | Path) -> Path:
    """A path that is there.

    Raises:
        InvalidArgument: It is not.
    """
    path = Path(folder).expanduser()
    if not path.exists():
        raise wrong("folder", "exists", f"there is no folder {path}")
    return path
