from __future__ import annotations

import asyncio

from epochal_kernel.bus import Bus
from epochal_kernel.hints import SUBJECT, Hints
from epochal_kernel.signals import LogSignal
from epochal_testing.waiting import until


async def test_a_listener_hears_what_another_process_appended(nats_url: str) -> None:
    here, there = Bus(nats_url, "here"), Bus(nats_url, "there")
    heard, appended = LogSignal(), LogSignal()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(bus.run()) for bus in (here, there)]
        await here.wait_connected(5)
        await there.wait_connected(5)
        running.append(tasks.create_task(Hints(there, appended).tell()))
        async with Hints(here, heard).listening():
            await here.client.flush()
            appended.notify(7)
            await until(lambda: heard.position == 7)
            await there.client.publish(SUBJECT, b"no number")
            appended.notify(9)
            await until(lambda: heard.position == 9)
        for task in running:
            task.cancel()


async def test_what_was_heard_is_not_told_on(nats_url: str) -> None:
    bus = Bus(nats_url, "echo")
    signal = LogSignal()
    hints = Hints(bus, signal)
    told: list[bytes] = []
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(bus.run())]
        await bus.wait_connected(5)

        async def note(message: object) -> None:
            told.append(message.data)  # type: ignore[attr-defined]  # nats-py's message

        await bus.client.subscribe(SUBJECT, cb=note)
        running.append(tasks.create_task(hints.tell()))
        async with hints.listening():
            await bus.client.publish(SUBJECT, b"3")
            await until(lambda: signal.position == 3)
            signal.notify(4)
            await until(lambda: told[-1:] == [b"4"])
        for task in running:
            task.cancel()
    assert told == [b"3", b"4"]
