"""What gates must know of versions: their files, their signatures, runs that validated them.

A run validates a version when it has read it, or names it in a parameter or a tag, was compiled and
run by the platform, and succeeded. What a person logged by hand is none: anybody could say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef

from epochal_lineage.domain.model import version_number
from epochal_lineage.projections.facts.runs import job_of
from epochal_lineage.projections.promotion_rows import (
    CARD_SECTIONS,
    REFERENCES,
    RUN_FACTS,
    SIGNATURES,
    VERSION_FILES,
    CardSectionRow,
    ReferenceRow,
    RunFactRow,
    SignatureRow,
    VersionFileRow,
)

_VERSION_NAME: Final = re.compile(
    r"orgs/[a-z0-9-]{1,63}/"
    r"(?:projects/[a-z0-9-]{1,63}/models/[a-zA-Z0-9._-]{1,128}/versions/[1-9]\d{0,8}"
    r"|(?:projects/[a-z0-9-]{1,63}/datasets|components)/[a-zA-Z0-9._-]{1,128}"
    r"/versions/[a-zA-Z0-9._-]{1,128})"
)


class VersionFactProjector:
    """Projects facts about versions and runs."""

    name = "version facts"
    tables = (RUN_FACTS, REFERENCES, VERSION_FILES, SIGNATURES, CARD_SECTIONS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """How a run ended belongs to what it is; the first reference is the one that counts."""
        if isinstance(event.payload, pb.RunSucceeded):
            yield RUN_FACTS.ref(event.resource)
        for version, run in references_of(event):
            yield REFERENCES.ref(version, run)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event says."""
        for version, run in references_of(event):
            if rows.get(REFERENCES, version, run) is None:
                rows.put(REFERENCES, ReferenceRow(version, run, event.position))
        match event.payload:
            case pb.RunCreated() as created:
                component = component_of(created)
                rows.put(
                    RUN_FACTS,
                    RunFactRow(
                        created.name, created.creator, created.display_name, component, False
                    ),
                )
            case pb.RunSucceeded():
                known = rows.get(RUN_FACTS, event.resource)
                if known is not None:
                    rows.put(RUN_FACTS, replace(known, succeeded=True))
            case pb.CardSectionWritten() as written:
                rows.put(
                    CARD_SECTIONS,
                    CardSectionRow(
                        written.name,
                        written.section,
                        written.text,
                        written.author,
                        event.position,
                    ),
                )
            case pb.ModelVersionFilesListed() as listed:
                model, number = listed.name.rpartition("/versions/")[0], version_number(listed.name)
                for file in listed.files:
                    rows.put(
                        VERSION_FILES,
                        VersionFileRow(
                            model,
                            number,
                            file.path,
                            file.sha256,
                            file.size_bytes,
                            file.artifact,
                            event.position,
                        ),
                    )
            case pb.ModelVersionSigned() as signed:
                model, number = signed.name.rpartition("/versions/")[0], version_number(signed.name)
                rows.put(
                    SIGNATURES,
                    SignatureRow(
                        model,
                        number,
                        signed.key,
                        signed.bundle,
                        signed.creator,
                        event.recorded_at,
                        event.position,
                    ),
                )
            case _:
                return


def component_of(created: pb.RunCreated) -> str:
    """Return what the platform ran, by the name in its file; empty for what it did not compile."""
    return job_of(created).rpartition("/jobs/")[2] if created.compiled_json else ""


def references_of(event: Event) -> list[tuple[str, str]]:
    """Return the versions that an event about a run names, with the run."""
    match event.payload:
        case pb.RunCreated(name=name, params=params, tags=tags):
            texts = [*_texts(params), *tags.values()]
        case pb.ParamsLogged(run=name, params=params):
            texts = _texts(params)
        case pb.TagsSet(run=name, tags=tags):
            texts = list(tags.values())
        case pb.ModelVersionUsed(run=run, model_version=version):
            return [(version, run)]
        case pb.DatasetUsed(run=run, dataset=version):
            return [(version, run)]
        case _:
            return []
    found = {text for text in texts if len(text) < 500 and _VERSION_NAME.fullmatch(text)}
    return [(version, name) for version in sorted(found)]


def _texts(params: Mapping[str, pb.Value]) -> list[str]:
    return [one.string_value for one in params.values()]
