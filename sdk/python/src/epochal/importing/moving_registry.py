"""Moving the registry in: registered models and their versions, and what changed since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import quote
from uuid import UUID

from epochal.errors import NotFound
from epochal.importing.moved import Summary
from epochal.importing.records import Model, Version
from epochal.importing.server import Api, Json, pairs, part, text

_LOGGED: Final = re.compile(r"(?:models:/|/models/)(m-[0-9a-f]{32})(?:/artifacts)?(?:/(.*))?\Z")
_NO_STAGE: Final = "None"


class RegistryMover:
    """Moves registered models."""

    def __init__(
        self, door: Api, runs: Mapping[str, str], logged: Mapping[str, str], summary: Summary
    ) -> None:
        """Takes where to, and what is here.

        Args:
            door: the platform's MLflow door.
            runs: names here of runs that were moved, by the source's id.
            logged: names here of logged models that were moved, by id.
            summary: counts what is moved.
        """
        self._door = door
        self._runs = runs
        self._logged = logged
        self._summary = summary

    def move(self, model: Model) -> None:
        """Moves a model with its versions, and makes what is here say what the source says.

        What the source does not say stays: tags and versions that were added here.
        """
        known = self._model(model)
        quoted = model.name.replace("'", "''")
        found = self._door.pages(
            "GET", "model-versions/search", "model_versions", filter=f"name='{quoted}'"
        )
        here = {int(text(one, "version")): one for one in found}
        last = max(here, default=0)
        for version in model.versions:
            if version.version in here:
                self._update(model.name, version, here[version.version])
                continue
            if version.version <= last:
                continue  # deleted here
            while last + 1 < version.version:
                last += 1
                self._gap(model.name)
            last = version.version
            self._version(model.name, version)
        held = {text(one, "alias"): int(text(one, "version")) for one in _aliases(known)}
        for alias, number in model.aliases.items():
            if held.get(alias) != number:
                given = {"name": model.name, "alias": alias, "version": str(number)}
                self._door.call("POST", "registered-models/alias", json=given)

    def _model(self, model: Model) -> Json:
        fields = {"name": model.name}
        try:
            known = part(
                self._door.call("GET", "registered-models/get", params=fields), "registered_model"
            )
        except NotFound:
            tags = [{"key": key, "value": value} for key, value in model.tags.items()]
            made = {**fields, "description": model.description, "tags": tags}
            self._summary.models += 1
            return part(
                self._door.call("POST", "registered-models/create", json=made), "registered_model"
            )
        if text(known, "description") != model.description:
            described = {**fields, "description": model.description}
            self._door.call("PATCH", "registered-models/update", json=described)
        here = pairs(known.get("tags"))
        for key, value in model.tags.items():
            if here.get(key) != value:
                tag = {**fields, "key": key, "value": value}
                self._door.call("POST", "registered-models/set-tag", json=tag)
        return known

    def _gap(self, model: str) -> None:
        """Let a number pass that the source has no version of any more."""
        made = {"name": model, "source": "dummy-source", "description": "deleted before the import"}
        version = part(self._door.call("POST", "model-versions/create", json=made), "model_version")
        gone = {"name": model, "version": text(version, "version")}
        self._door.call("DELETE", "model-versions/delete", json=gone)

    def _version(self, model: str, version: Version) -> None:
        made = {
            "name": model,
            "description": version.description,
            "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
            **self._source(version),
        }
        self._door.call("POST", "model-versions/create", json=made)
        if _stage(version) != _NO_STAGE:
            self._stage(model, version)
        self._summary.versions += 1

    def _source(self, version: Version) -> dict[str, str]:
        """Where a version's files are, as a request says it."""
        run = self._runs.get(version.run_id, "")
        uid = UUID(run.rpartition("/")[2]).hex if run else ""
        of_run = {"run_id": uid} if uid else {}
        source = version.source
        logged = _LOGGED.search(source)
        if logged is not None and logged[1] in self._logged and not logged[2]:
            return {"source": f"models:/{logged[1]}", "model_id": logged[1], **of_run}
        inside = re.search(rf"{re.escape(version.run_id)}/artifacts/?(.*)\Z", source)
        if run and inside is not None:
            source = f"runs:/{uid}/{inside[1]}"
        elif source.startswith("runs:/") and run:
            source = source.replace(version.run_id, uid)
        elif not re.match(r"[a-z0-9+]+://", source):
            # A place that only the source knows.
            source = f"mlflow-import://{quote(source, safe='/:')}"
        return {"source": source, **of_run}

    def _update(self, model: str, version: Version, known: Json) -> None:
        """Make a version that is here say what the source says by now."""
        fields = {"name": model, "version": str(version.version)}
        changed = False
        if text(known, "description") != version.description:
            described = {**fields, "description": version.description}
            self._door.call("PATCH", "model-versions/update", json=described)
            changed = True
        here = pairs(known.get("tags"))
        for key, value in version.tags.items():
            if here.get(key) != value:
                tag = {**fields, "key": key, "value": value}
                self._door.call("POST", "model-versions/set-tag", json=tag)
                changed = True
        if (text(known, "current_stage") or _NO_STAGE) != _stage(version):
            self._stage(model, version)
            changed = True
        self._summary.updated += changed

    def _stage(self, model: str, version: Version) -> None:
        staged = {
            "name": model,
            "version": str(version.version),
            "stage": _stage(version),
            "archive_existing_versions": False,
        }
        self._door.call("POST", "model-versions/transition-stage", json=staged)


def _stage(version: Version) -> str:
    return version.stage or _NO_STAGE


def _aliases(model: Json) -> list[Json]:
    return cast("list[Json]", model.get("aliases", []))
