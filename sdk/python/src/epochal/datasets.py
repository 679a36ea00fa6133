"""Versions of datasets from Python: which there are, how they differ, whether rules hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ArtifactService, DatasetService

from epochal.artifacts import ArtifactDoor
from epochal.client import Client
from epochal.errors import FailedPrecondition, InvalidArgument, NotFound
from epochal.profiling.chunking import put_together, read_manifest

_KINDS: Final = {
    "schema": pb.DATASET_RULE_KIND_SCHEMA,
    "range": pb.DATASET_RULE_KIND_RANGE,
    "nulls": pb.DATASET_RULE_KIND_NULLS,
    "unique": pb.DATASET_RULE_KIND_UNIQUE,
    "fresh": pb.DATASET_RULE_KIND_FRESH,
    "rows": pb.DATASET_RULE_KIND_ROWS,
    "values": pb.DATASET_RULE_KIND_VALUES,
}
_FIELDS: Final = {
    "schema": {"type"},
    "range": {"min", "max"},
    "nulls": {"share"},
    "unique": set[str](),
    "fresh": {"max_age"},
    "rows": {"min", "max"},
    "values": {"values"},
}

#: A rule as people write it, such as {"kind": "range", "column": "age", "min": 0}.
RuleSpec = Mapping[str, object]


class Datasets:
    """The datasets of a project, as they are or as they were at a moment."""

    def __init__(self, client: Client, project: str, as_of: pb.Moment | None = None) -> None:
        self._client = client
        self._project = project
        self._as_of = as_of

    def __iter__(self) -> Iterator[pb.Dataset]:
        """Every dataset, by name."""
        request = pb.ListDatasetsRequest(parent=self._project, page_size=1000, as_of=self._as_of)
        while True:
            page = self._client.call(DatasetService.LIST_DATASETS, request)
            yield from page.datasets
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def versions(self, dataset: str) -> Iterator[pb.DatasetVersion]:
        """Every version of a dataset, newest first, without what is in its columns."""
        request = pb.ListDatasetVersionsRequest(
            parent=self.full(dataset), page_size=1000, as_of=self._as_of
        )
        while True:
            page = self._client.call(DatasetService.LIST_DATASET_VERSIONS, request)
            yield from page.versions
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get(self, version: str) -> pb.DatasetVersion:
        """One version; a dataset alone means its newest.

        Raises:
            NotFound: There is none.
        """
        request = pb.GetDatasetVersionRequest(name=self.version(version), as_of=self._as_of)
        return self._client.call(DatasetService.GET_DATASET_VERSION, request)

    def compare(self, base: str, version: str) -> pb.CompareDatasetVersionsResponse:
        """How a version differs from a base.

        Raises:
            NotFound: There is none of one of the names.
        """
        request = pb.CompareDatasetVersionsRequest(
            base=self.version(base), name=self.version(version), as_of=self._as_of
        )
        return self._client.call(DatasetService.COMPARE_DATASET_VERSIONS, request)

    def validate(
        self, version: str, rules: Iterable[RuleSpec]
    ) -> pb.ValidateDatasetVersionResponse:
        """Holds rules against a version; what came of them is recorded.

        Raises:
            NotFound: There is no such version.
            InvalidArgument: A rule is none.
        """
        request = pb.ValidateDatasetVersionRequest(
            name=self.version(version), rules=read_rules(rules)
        )
        return self._client.call(DatasetService.VALIDATE_DATASET_VERSION, request)

    def download(self, version: str, target: Path) -> pb.DatasetVersion:
        """Brings a version that is kept here to a file, or a folder when it is one.

        Raises:
            NotFound: There is none.
            FailedPrecondition: Only a reference or a digest of it is kept.
            DataLoss: A chunk or a file is another than was recorded.
        """
        found = self.get(version)
        kept = found.contents.storage
        run, _, path = found.contents.path.partition("/artifacts/")
        door = ArtifactDoor(self._client)
        try:
            if kept == pb.DATASET_STORAGE_CHUNKS:
                self._join(door, run, path, target)
            elif kept == pb.DATASET_STORAGE_COPY:
                self._copy(door, run, path, target)
            else:
                place = f": it is at {found.uri}" if found.uri else ""
                raise FailedPrecondition(f"{found.name} is not kept here{place}")
        finally:
            door.close()
        return found

    def _join(self, door: ArtifactDoor, run: str, path: str, target: Path) -> None:
        under = path.rpartition("/")[0]
        with tempfile.TemporaryDirectory(prefix="epochal-dataset-") as folder:
            scratch = Path(folder) / "piece"

            def read(piece: str) -> bytes:
                door.get(run, piece, scratch, digest="")
                return scratch.read_bytes()

            listed = read_manifest(read(path))
            put_together(listed, target, lambda name: read(f"{under}/chunks/{name}"))

    def _copy(self, door: ArtifactDoor, run: str, path: str, target: Path) -> None:
        request = pb.ListArtifactsRequest(run=run, path_prefix=path, page_size=1000)
        while True:
            page = self._client.call(ArtifactService.LIST_ARTIFACTS, request)
            for one in page.artifacts:
                if one.path == path:
                    door.get(run, path, target, digest=one.digest)
                elif one.path.startswith(f"{path}/"):
                    place = target / one.path[len(path) + 1 :]
                    door.get(run, one.path, place, digest=one.digest)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def full(self, name: str) -> str:
        """The full name of a dataset or version: D, D/versions/V, D@V, or datasets/...."""
        if name.startswith("orgs/"):
            return name
        name = name.removeprefix("datasets/").replace("@", "/versions/", 1)
        return f"{self._project}/datasets/{name}"

    def version(self, name: str) -> str:
        """The full name of a version; a dataset alone means its newest.

        Raises:
            NotFound: It has none.
            InvalidArgument: It is no name of a dataset.
        """
        full = self.full(name)
        if "/versions/" in full:
            return full
        request = pb.ListDatasetVersionsRequest(parent=full, page_size=1, as_of=self._as_of)
        page = self._client.call(DatasetService.LIST_DATASET_VERSIONS, request)
        if not page.versions:
            raise NotFound(f"no version of {full} is known: `epochal datasets ls` shows those")
        return page.versions[0].name


def read_rules(specs: Iterable[RuleSpec]) -> list[pb.DatasetRule]:
    """Rules as the platform takes them.

    >>> [rule.column for rule in read_rules([{"kind": "range", "column": "age", "min": 0}])]
    ['age']

    Raises:
        InvalidArgument: One is none: an unknown kind or field, or a value of another type.
    """
    return [_rule(number, dict(spec)) for number, spec in enumerate(specs, start=1)]


def _rule(number: int, spec: dict[str, object]) -> pb.DatasetRule:
    kind = str(spec.pop("kind", ""))
    if kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise InvalidArgument(f"rule {number}: kind {kind!r} is none of {known}")
    rule = pb.DatasetRule(kind=_KINDS[kind])
    if kind not in ("rows", "fresh"):
        rule.column = str(spec.pop("column", ""))
        if not rule.column:
            raise InvalidArgument(f"rule {number}: a rule of kind {kind} names a column")
    unknown = sorted(spec.keys() - _FIELDS[kind])
    if unknown:
        allowed = ", ".join(sorted(_FIELDS[kind])) or "nothing more"
        raise InvalidArgument(f"rule {number}: {unknown[0]!r} is no field of {kind}: {allowed}")
    try:
        _fill(rule, spec)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"rule {number}: {error}") from None
    return rule


def _fill(rule: pb.DatasetRule, spec: Mapping[str, object]) -> None:
    for name, value in spec.items():
        if name == "max_age":
            seconds = value.total_seconds() if isinstance(value, timedelta) else value
            rule.max_age_s = int(seconds)  # type: ignore[call-overload]  # refused as a TypeError
        elif name == "values":
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise TypeError("values is a list")
            rule.values.extend(str(one) for one in value)
        else:
            setattr(rule, name, value)
