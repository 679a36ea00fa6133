"""What a run reads and makes: versions of datasets with columns and rules, models it reads."""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack, cast

import epochal_proto.v1 as pb

from epochal.datasets import RuleSpec, read_rules
from epochal.digests import Content, describe, files
from epochal.errors import DataInvalid, InvalidArgument
from epochal.logging_references import ReferenceCalls
from epochal.notices import say
from epochal.profiling.chunking import ChunkedFile, chunks_of, manifest
from epochal.profiling.files import look_into_file
from epochal.profiling.frames import bounded, look_into
from epochal.results import Dataset

Store = Literal["reference", "copy", "chunks"]
OnFailure = Literal["raise", "warn"]

#: How a column came to be: (version of a dataset, column), or with how it was done.
Origin = tuple[str, str] | tuple[str, str, str]

#: Files up to this size are looked into unless it is asked for; frames up to so many cells.
LOOKED_INTO_BYTES: Final = 64 * 1024 * 1024
LOOKED_INTO_CELLS: Final = 50_000_000


class DatasetOptions(TypedDict, total=False):
    """What may be said of a dataset that is read or made; see `Run.use_dataset`."""

    store: Store
    profile: bool | None
    features: bool
    rules: Iterable[RuleSpec]
    on_failure: OnFailure
    etag: str
    size_bytes: int
    modified: datetime | None
    snapshot: str


_STORAGE: Final = {"copy": pb.DATASET_STORAGE_COPY, "chunks": pb.DATASET_STORAGE_CHUNKS}


class DatasetCalls(ReferenceCalls):
    """Calls about data and models that a run reads and makes. All may raise RunClosed."""

    def _check_open(self) -> None:
        raise NotImplementedError

    def _upload(self, file: Path, artifact: str, kind: str, *, move: bool = False) -> None:
        raise NotImplementedError

    @property
    def project(self) -> str:
        """Resource name of the run's project."""
        raise NotImplementedError

    def use_dataset(
        self,
        name: str,
        data: object,
        digest: str | None = None,
        **more: Unpack[DatasetOptions],
    ) -> Dataset:
        """Records that this run reads a dataset, known by the digest of its content.

        Args:
            name: Such as "digits".
            data: A file, a folder, a URI, bytes, a numpy array, a pandas or polars frame, an Arrow
                table, or a tuple of them.
            digest: "sha256:HEX", if you know better; computed otherwise, except for a URI.
            more: Any of these. store: "reference" keeps nothing, "copy" uploads it as it is,
                "chunks" in pieces named by their digest, each of which is kept once. profile:
                whether to look into its columns; by default unless it is very large. features:
                whether it is a set of features. rules: what must hold, such as {"kind": "range",
                "column": "age", "min": 0}. on_failure: "raise" when a rule does not hold, or only
                "warn". etag, size_bytes, modified, snapshot: what tells which of its versions a
                URI names.

        Raises:
            InvalidArgument: There is no such file, the object has no digest, or a rule is none.
            DataInvalid: A rule does not hold; that it does not is recorded.
        """
        self._check_open()
        asked = read_rules(more.get("rules", ()))
        content, contents = _content(data, digest), _contents(data, more)
        self._store(name, data, more.get("store", "reference"), contents)
        request = pb.UseDatasetRequest(
            run=self.name,
            dataset=name,
            uri=content.uri,
            digest=content.digest,
            features=more.get("features", False),
            contents=contents,
            rules=asked,
        )
        return _told(name, content, self._recorder.record(request), asked, more)

    def log_dataset(
        self,
        name: str,
        data: object,
        digest: str | None = None,
        *,
        columns: Mapping[str, Sequence[Origin]] | None = None,
        **more: Unpack[DatasetOptions],
    ) -> Dataset:
        """Records that this run makes a version of a dataset, and what its columns come from.

        Args:
            name: Such as "digits".
            data: As for `use_dataset`.
            digest: As for `use_dataset`.
            columns: For a column, what it comes from: (version, column) or (version, column, how),
                how being "identity", "transformation", "aggregation", "join", "group_by", "filter",
                "sort", "window" or "conditional".
            more: As for `use_dataset`.

        Raises:
            InvalidArgument: There is no such file, the object has no digest or cannot be stored, a
                rule is none, or a column comes from what cannot be.
            DataInvalid: A rule does not hold; that it does not is recorded.
        """
        self._check_open()
        asked, sources = read_rules(more.get("rules", ())), _sources(columns or {})
        content, contents = _content(data, digest), _contents(data, more)
        self._store(name, data, more.get("store", "reference"), contents)
        request = pb.LogDatasetRequest(
            run=self.name,
            dataset=name,
            uri=content.uri,
            digest=content.digest,
            features=more.get("features", False),
            contents=contents,
            rules=asked,
            columns=sources,
        )
        return _told(name, content, self._recorder.record(request), asked, more)

    def use_model(self, version: str) -> None:
        """Records that this run reads a version of a model; a service that does so serves it.

        >>> run.use_model("models/digits/versions/3")

        Args:
            version: Full name, or models/M/versions/N of the run's project.
        """
        self._check_open()
        full = version if version.startswith("orgs/") else f"{self.project}/{version}"
        self._recorder.record(pb.UseModelRequest(run=self.name, model_version=full))

    def _store(self, name: str, data: object, store: Store, contents: pb.DatasetContents) -> None:
        if store == "reference":
            return
        if store not in _STORAGE:
            raise InvalidArgument(f"store is reference, copy or chunks, not {store!r}")
        with tempfile.TemporaryDirectory(prefix="epochal-dataset-") as folder:
            source = _as_file(data, Path(folder))
            under = f"datasets/{name}"
            contents.storage = _STORAGE[store]
            if store == "copy":
                contents.path = f"{under}/{source.name}"
                self._copy(source, contents.path)
            else:
                contents.chunks, contents.path = self._chunk(source, under, Path(folder))

    def _copy(self, source: Path, under: str) -> None:
        if source.is_file():
            self._upload(source, under, "dataset", move=False)
            return
        for file in sorted(files(source)):
            self._upload(file, f"{under}/{file.relative_to(source).as_posix()}", "dataset")

    def _chunk(self, source: Path, under: str, scratch: Path) -> tuple[int, str]:
        listed: dict[str, list[str]] = {}
        sizes: dict[str, int] = {}
        kept: set[str] = set()
        for place, _, offset, piece in chunks_of(source):
            chunk = hashlib.sha256(piece).hexdigest()
            listed.setdefault(place, []).append(chunk)
            sizes[place] = offset + len(piece)
            if chunk not in kept:
                kept.add(chunk)
                file = scratch / chunk
                file.write_bytes(piece)
                self._upload(file, f"{under}/chunks/{chunk}", "chunk", move=True)
        lines = [ChunkedFile(one, sizes[one], tuple(listed[one])) for one in listed]
        content = manifest(lines)
        path = f"{under}/{hashlib.sha256(content).hexdigest()[:12]}.json"
        file = scratch / "manifest"
        file.write_bytes(content)
        self._upload(file, path, "dataset", move=True)
        return len(kept), path


def _content(data: object, digest: str | None) -> Content:
    if isinstance(data, str) and "://" in data:
        return Content(data, digest or "")
    found = describe(data) if digest is None else _place(data)
    return Content(found.uri, digest or found.digest)


def _place(data: object) -> Content:
    if isinstance(data, str | Path):
        return Content(Path(data).expanduser().resolve().as_uri(), "")
    return Content(f"python:{type(data).__module__}.{type(data).__qualname__}", "")


def _contents(data: object, options: DatasetOptions) -> pb.DatasetContents:
    """What is in data, as far as it is looked into, and what else was said of it."""
    found = _looked_into(data, options.get("profile"))
    found.etag, found.snapshot = options.get("etag", ""), options.get("snapshot", "")
    found.size_bytes = options.get("size_bytes", 0) or found.size_bytes
    modified = options.get("modified")
    if modified is not None:
        found.modify_time.FromDatetime(modified.astimezone(UTC))
    return bounded(found)


def _looked_into(data: object, profile: bool | None) -> pb.DatasetContents:
    if isinstance(data, str) and "://" in data:
        return pb.DatasetContents(storage=pb.DATASET_STORAGE_REFERENCE)
    if isinstance(data, str | Path):
        found = _of_path(Path(data).expanduser(), profile)
        found.storage = pb.DATASET_STORAGE_REFERENCE
        return found
    found = pb.DatasetContents()
    if profile or (profile is None and _cells(data) <= LOOKED_INTO_CELLS):
        found = look_into(data) or found
    found.storage = pb.DATASET_STORAGE_DIGEST
    return found


def _of_path(path: Path, profile: bool | None) -> pb.DatasetContents:
    if path.is_dir():
        sizes = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files(path)]
        found = pb.DatasetContents(format="folder", size_bytes=sum(size for size, _ in sizes))
        found.modify_time.FromNanoseconds(max((time for _, time in sizes), default=0))
        return found
    stat = path.stat()
    if profile or (profile is None and stat.st_size <= LOOKED_INTO_BYTES):
        return look_into_file(path)
    found = pb.DatasetContents(format=path.suffix.lstrip(".").lower(), size_bytes=stat.st_size)
    found.modify_time.FromNanoseconds(stat.st_mtime_ns)
    return found


def _cells(data: object) -> int:
    shape = getattr(data, "shape", ())
    cells = 1
    for size in shape if isinstance(shape, tuple) else ():
        cells *= size if isinstance(size, int) else 1
    return cells


def _sources(columns: Mapping[str, Sequence[Origin]]) -> list[pb.ColumnSource]:
    found = []
    for column, origins in columns.items():
        for origin in origins:
            source, source_column, *how = origin
            word = f"COLUMN_TRANSFORMATION_{how[0].upper()}" if how else ""
            if word and word not in pb.ColumnTransformation.keys():  # noqa: SIM118 - no mapping
                raise InvalidArgument(f"column {column}: {how[0]!r} is no way to make a column")
            one = pb.ColumnSource(column=column, source=source, source_column=source_column)
            if word:
                one.transformation = cast(
                    "pb.ColumnTransformation", pb.ColumnTransformation.Value(word)
                )
            found.append(one)
    return found


def _told(
    name: str,
    content: Content,
    answer: object,
    rules: Sequence[pb.DatasetRule],
    options: DatasetOptions,
) -> Dataset:
    if not isinstance(answer, pb.LineageNode):  # it waits in the spool
        if rules:
            say(f"the rules about {name} are held against it when the platform is there again")
        return Dataset(name, content.uri, content.digest)
    failed = tuple(one.detail for one in answer.results if not one.passed)
    if failed and options.get("on_failure", "raise") == "raise":
        raise DataInvalid(f"{name} is not as it should be: {'; '.join(failed)}")
    if failed:
        say(f"{name} is not as it should be: {'; '.join(failed)}")
    return Dataset(name, content.uri, content.digest, answer.name, failed)


def _as_file(data: object, folder: Path) -> Path:
    """Data as a file or folder: as it lies there, or written in a format that keeps its types.

    Raises:
        InvalidArgument: There is no such file, or no format for this kind of object.
    """
    if isinstance(data, str | Path) and "://" not in str(data):
        path = Path(data).expanduser().resolve()
        if not path.exists():
            raise InvalidArgument(f"there is no file or folder {path}")
        return path
    if isinstance(data, bytes | bytearray):
        file = folder / "data.bin"
        file.write_bytes(data)
        return file
    frame: Any = data
    kind = type(data).__module__.partition(".")[0]
    file = folder / "data.parquet"
    if kind == "pandas" and hasattr(frame, "to_parquet"):
        frame.to_parquet(file)
        return file
    if kind == "polars" and hasattr(frame, "write_parquet"):
        frame.write_parquet(file)
        return file
    if kind == "pyarrow" and "pyarrow" in sys.modules:
        importlib.import_module("pyarrow.parquet").write_table(frame, file)
        return file
    if kind == "numpy":
        file = folder / "data.npy"
        importlib.import_module("numpy").save(file, frame, allow_pickle=False)
        return file
    raise InvalidArgument(
        f"cannot store {kind}.{type(data).__qualname__}: write it to a file and give its path"
    )
