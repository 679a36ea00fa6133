"""One of many leads; when it cannot, another does; nothing that passes ends a process."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import Unavailable
from epochal_kernel.leading import Leader
from epochal_kernel.postgres import connect
from epochal_testing.waiting import until


class Work:
    """Endless work; says when it was begun and when it was left, fails as it is told."""

    def __init__(self):
        self.begun = self.left = 0
        self.errors = []

    async def __call__(self):
        self.begun += 1
        try:
            if self.errors:
                raise self.errors.pop(0)
            await asyncio.Event().wait()
        finally:
            self.left += 1


@pytest_asyncio.fixture(loop_scope="session")
async def candidate(database):
    """Makes candidates for one role, each with connections of its own."""

    @asynccontextmanager
    async def made(role="r"):
        pool = await connect(database, name="candidate")
        leader, work = Leader(pool, SystemClock(), role), Work()
        leader.pool = pool
        task = asyncio.create_task(leader.run(work))
        try:
            yield leader, work, task
        finally:
            task.cancel()
            await asyncio.wait({task})
            await pool.close()

    return made


async def test_of_two_one_leads_and_the_other_takes_over_when_it_leaves(candidate):
    async with candidate() as (second, other, _):
        await until(lambda: second.leading)
        async with candidate() as (first, work, _):
            async with candidate("another role") as (third, *_):
                await until(lambda: third.leading)
            assert (first.leading, work.begun) == (False, 0)
        assert (second.leading, other.left) == (True, 0)
    async with candidate() as (first, work, leading):
        await until(lambda: first.leading)
        async with candidate() as (second, other, _):
            leading.cancel()
            await until(lambda: other.begun == 1)
            assert (first.leading, work.left, second.leading) == (False, 1, True)


async def test_who_loses_the_connection_stops_working_and_stands_again(candidate, database):
    async with candidate() as (leader, work, task):
        await until(lambda: work.begun == 1)
        pool = await connect(database, name="enemy")
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        await pool.close()
        await until(lambda: work.left == 1)
        await until(lambda: work.begun == 2 and leader.leading)
        assert not task.done()


async def test_an_outage_that_several_tasks_of_the_work_meet_passes(candidate):
    async with candidate() as (leader, work, task):
        await until(lambda: work.begun == 1)
        nested = BaseExceptionGroup("tasks", [ExceptionGroup("inner", [Unavailable("gone")])])
        work.errors = [nested, Unavailable("gone")]
        work_now = leader.pool
        await work_now.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        await until(lambda: work.begun == 4 and leader.leading)
        assert not task.done()


async def test_an_error_of_the_program_is_not_swallowed(candidate):
    async with candidate() as (leader, work, task):
        await until(lambda: work.begun == 1)
        work.errors = [ExceptionGroup("tasks", [Unavailable("gone"), ZeroDivisionError("bug")])]
        await leader.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        await asyncio.wait({task}, timeout=20)
        with pytest.raises(ExceptionGroup) as caught:
            task.result()
        assert caught.group_contains(ZeroDivisionError)
