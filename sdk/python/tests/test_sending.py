"""Whatever the platform does, what was spooled arrives once, in order, and only then is freed."""

import uuid

import epochal_proto.v1 as pb
import pytest
from epochal import columns, errors
from epochal.client import Client
from epochal.config import Connection
from epochal.packing import Packer
from epochal.points import PointBuffer
from epochal.sending import Sender
from epochal.series import to_points
from epochal.spool.segments import SegmentSpool

PROJECT = "orgs/default/projects/main"


class Line:
    """One producer's spool and sender against one gateway."""

    def __init__(self, gateway, folder, **spool):
        self.world = gateway.world
        self.client = Client(Connection(gateway.url, gateway.world.token))
        self.producer = str(uuid.uuid4())
        request = pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
        self.run = self.world.CreateRun(request).name
        self.spool = SegmentSpool(folder, **spool)
        self.failures = []
        self.written = 0
        self.sender = self.new_sender()

    def new_sender(self):
        return Sender(
            self.client,
            self.run,
            self.producer,
            self.spool,
            stall_s=0.2,
            on_failure=self.failures.append,
        )

    def write(self, batches=1):
        for _ in range(batches):
            self.written += 1
            column = columns.encode_points(to_points("m", [float(self.written)], [self.written]))
            payload = pb.PointColumns(columns=[column]).SerializeToString()
            self.spool.append(pb.TELEMETRY_KIND_POINTS, payload)
            self.sender.batch_written()

    @property
    def at_platform(self):
        return self.world.producers[(self.run, self.producer)]

    def producer_has(self, batches):
        known = self.world.producers.get((self.run, self.producer))
        return known is not None and len(known.broker) == batches

    def assert_all_arrived(self):
        assert self.sender.drain(20)
        expected = [(step, float(step)) for step in range(1, self.written + 1)]
        assert self.world.points(self.run)["m"] == expected
        self.world.wait_until(lambda: self.spool.depth_bytes == 0)


@pytest.fixture
def line(gateway, tmp_path):
    line = Line(gateway, tmp_path / "spool", segment_bytes=1000)
    yield line
    line.sender.close()
    line.spool.close()
    line.client.close()


def test_batches_arrive_in_order_and_are_freed(line):
    line.sender.start()
    line.write(50)
    line.assert_all_arrived()
    line.sender.seal(5)
    assert line.at_platform.sealed
    assert list(line.at_platform.persisted) == list(range(1, 51))


def test_acknowledged_is_not_persisted(line):
    line.world.hold_persistence()
    line.sender.start()
    line.write(20)
    line.world.wait_until(lambda: line.producer_has(20))
    assert line.spool.depth_bytes > 0
    assert not line.sender.drain(0.05)
    line.world.resume_persistence()
    line.assert_all_arrived()


def test_a_broker_that_loses_what_it_acknowledged_gets_it_again(line):
    line.world.hold_persistence()
    line.sender.start()
    line.write(20)
    line.world.wait_until(lambda: line.producer_has(20))
    line.world.wipe_broker()
    line.world.resume_persistence()
    line.assert_all_arrived()


def test_lost_replies_and_refusals_for_a_while_lose_nothing(line, gateway):
    gateway.lose_reply("WriteTelemetry", times=5)
    gateway.fail("WriteTelemetry", "RESOURCE_EXHAUSTED", times=3)
    gateway.fail("OpenProducer", "UNAVAILABLE", times=2)
    gateway.fail("WatchProducerCursor", "UNAVAILABLE", times=3)
    line.sender.start()
    line.write(30)
    line.assert_all_arrived()


def test_a_restart_of_the_platform_loses_nothing(line, gateway):
    line.sender.start()
    line.write(10)
    line.assert_all_arrived()
    gateway.stop()
    line.write(10)
    gateway.start(gateway.http_port)
    line.assert_all_arrived()


def test_a_batch_of_an_old_epoch_is_sent_again_with_the_new_one(line):
    line.sender.start()
    line.write(1)
    line.assert_all_arrived()
    line.at_platform.epoch += 1
    line.write(5)
    line.assert_all_arrived()
    assert line.at_platform.epoch == 3


def test_a_second_sender_goes_on_where_the_first_was(line):
    line.sender.start()
    line.write(10)
    line.assert_all_arrived()
    line.sender.close()
    line.sender = line.new_sender()
    line.write(10)
    line.sender.start()
    line.assert_all_arrived()
    assert line.at_platform.epoch == 2


def test_a_final_refusal_is_told_and_everything_is_kept(line, gateway):
    gateway.fail("WriteTelemetry", "PERMISSION_DENIED", times=100, message="no")
    line.sender.start()
    line.write(3)
    assert not line.sender.drain(20)
    assert isinstance(line.sender.error, errors.PermissionDenied)
    assert line.failures == [line.sender.error]
    assert line.spool.read(1)


def test_a_database_from_the_past_is_said_not_hidden(line):
    line.sender.start()
    line.write(5)
    line.assert_all_arrived()
    del line.world.producers[(line.run, line.producer)]
    line.write(1)
    assert not line.sender.drain(20)
    assert line.sender.error is not None


def test_nothing_written_opens_no_producer(line, gateway):
    line.sender.start()
    assert line.sender.drain(1)
    line.sender.seal(1)
    assert gateway.count("OpenProducer") == gateway.count("SealProducer") == 0


def test_a_full_spool_drops_before_numbering_and_goes_on_when_there_is_room(gateway, tmp_path):
    line = Line(gateway, tmp_path / "spool", max_bytes=600)
    drops = []
    buffer = PointBuffer()
    packer = Packer(buffer, line.spool, on_drop=lambda points, why: drops.append((points, why)))
    for step in range(10):
        buffer.add("m", 1.0, step)
        packer.flush()
    kept = line.spool.last_batch
    assert 0 < kept < 10
    assert sum(points for points, _ in drops) == 10 - kept
    line.sender.start()
    assert line.sender.drain(20)
    line.world.wait_until(lambda: line.spool.depth_bytes == 0)
    buffer.add("m", 1.0, 99)
    packer.flush()
    assert line.spool.last_batch == kept + 1
    assert line.sender.drain(20)
    assert [step for step, _ in line.world.points(line.run)["m"]] == [*range(kept), 99]
    line.sender.close()
    line.spool.close()
    line.client.close()
