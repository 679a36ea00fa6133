"""A Faust application that counts, in a process of its own: what it read, by key and by window.

    python counting.py URL APP_ID WORKER WORKERS [KILL_AFTER]

Messages are numbers as text, keyed. It prints a line `READY`, then `SEEN KEY VALUE` for each, at
its end (SIGTERM) its tables as JSON. After KILL_AFTER messages it kills itself, without a word.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta

import faust
from faust_jetstream import configure

url, app_id, worker, workers, *rest = sys.argv[1:]
kill_after = int(rest[0]) if rest else 0

app = faust.App(
    app_id,
    broker=url,
    store="memory://",
    topic_partitions=4,
    topic_disable_leader=True,
    broker_commit_interval=0.3,
    stream_wait_empty=False,
    web_enabled=False,
    datadir=os.environ["FAUST_DATADIR"],
    key_serializer="raw",
    value_serializer="raw",
)
configure(app, worker=int(worker), workers=int(workers))
numbers = app.topic("numbers", partitions=4, value_serializer="raw", key_serializer="raw")
totals = app.Table("totals", partitions=4, default=int, key_type=str, value_type=int)
windows = app.Table("windows", partitions=4, default=int, key_type=str, value_type=int).tumbling(
    timedelta(hours=24), expires=timedelta(days=2)
)
seen = 0


@app.agent(numbers)
async def count(stream: faust.Stream[bytes]) -> None:
    global seen
    async for event in stream.events():
        key = event.key.decode()
        totals[key] += int(event.value)
        windows[key] += int(event.value)
        print("SEEN", key, event.value.decode(), flush=True)
        seen += 1
        if kill_after and seen >= kill_after:
            await asyncio.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)


@app.task
async def announce() -> None:
    print("READY", flush=True)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    app.finalize()
    await app.start()
    waiting = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(app.wait_until_stopped())
    await asyncio.wait({waiting, crashed}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        print("CRASHED", flush=True)
        os._exit(3)
    found = {
        "totals": {key: totals[key] for key in totals},
        "windows": {key: windows[key].now() for key in totals},
    }
    print("TABLES", json.dumps(found), flush=True)
    await app.stop()


asyncio.run(main())
