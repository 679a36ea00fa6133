"""Typed records on a real platform: packed, indexed, read from their place, gone when purged."""

from __future__ import annotations

from collections.abc import Iterator

import epochal
import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal.artifacts import ArtifactDoor
from epochal.client import Client
from epochal.errors import InvalidArgument, NotFound
from epochal_proto.v1.services import RecordService, RetentionService
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
IMAGES = 1_200


@pytest.fixture(scope="module")
def run(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_URL", platform.url)
        patch.setenv("EPOCHAL_TOKEN", platform.token)
        patch.setenv("EPOCHAL_PROJECT", PROJECT)
        patch.setenv("EPOCHAL_CAPTURE", "0")
        patch.setenv("EPOCHAL_SPOOL", str(tmp_path_factory.mktemp("spool")))
        with epochal.init(strict=True) as begun:
            for step in range(IMAGES):
                begun.log_image("val/samples", np.full((4, 4), step % 256, np.uint8), step)
            begun.log_histogram("weights", [1.0, 2.0, 2.0], bins=2)
            begun.log_text("Ä /ö", "x" * 3_000_000)
            begun.log_text("empty", "")
            begun.set_name("with records")
            begun.set_readme("# as it was")
        yield begun.name


def pages(admin: Client, request: pb.ListRecordsRequest) -> list[pb.Record]:
    found: list[pb.Record] = []
    while True:
        answer = admin.call(RecordService.LIST_RECORDS, request)
        found += answer.records
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def test_every_record_is_listed_and_read_from_its_place(admin: Client, run: str) -> None:
    request = pb.ListRecordsRequest(run=run, kind="image", from_step=100, page_size=400)
    images = pages(admin, request)
    assert [one.step for one in images] == list(range(100, IMAGES))
    assert len({one.path for one in images}) < 10
    door = ArtifactDoor(admin)
    for one in images[::211]:
        from epochal.records.images import encode_image

        made = encode_image(np.full((4, 4), one.step % 256, np.uint8))
        assert door.read_record(run, one) == made.content
    (long,) = pages(admin, pb.ListRecordsRequest(run=run, series="Ä /ö"))
    assert (long.offset, long.text.characters) == (0, 3_000_000)
    assert door.read_record(run, long) == b"x" * 3_000_000
    (empty,) = pages(admin, pb.ListRecordsRequest(run=run, series="empty"))
    assert door.read_record(run, empty) == b""
    one = admin.call(RecordService.GET_RECORD, pb.GetRecordRequest(run=run, record=images[0].id))
    assert one == images[0]
    door.close()


def test_a_run_is_read_back_by_its_name_for_people(run: str) -> None:
    with epochal.get_run("with records") as known:
        assert known.name == run
        (record,) = known.records(kind="histogram")
        assert known.read(record).startswith(b'{"edges"')


def test_names_are_listed_with_their_newest(admin: Client, run: str) -> None:
    answer = admin.call(RecordService.LIST_RECORD_SERIES, pb.ListRecordSeriesRequest(run=run))
    shown = {(one.kind, one.series): (one.count, one.latest.step) for one in answer.series}
    assert shown["image", "val/samples"] == (IMAGES, IMAGES - 1)
    (weights,) = [one.latest for one in answer.series if one.series == "weights"]
    assert list(weights.histogram.counts) == [1.0, 2.0]


def test_a_record_that_breaks_a_rule_is_refused_with_its_field(admin: Client, run: str) -> None:
    bad = pb.Record(id="A!", kind="image", series="x\0", path="x", sha256=b"1")
    with pytest.raises(InvalidArgument) as refused:
        admin.call(RecordService.LOG_RECORDS, pb.LogRecordsRequest(run=run, records=[bad]))
    fields = {one.field for one in refused.value.violations}
    assert fields == {"records.id", "records.series", "records.sha256"}


def test_what_is_purged_is_not_listed(admin: Client, run: str) -> None:
    admin.call(RetentionService.PURGE_RUN, pb.PurgeRunRequest(run=run, reason="a test"))
    assert pages(admin, pb.ListRecordsRequest(run=run)) == []
    with pytest.raises(NotFound):
        admin.call(RecordService.GET_RECORD, pb.GetRecordRequest(run=run, record="nothing"))
