from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from monitor.net import HttpClient
from monitor.sources.fetch import Document, Fetcher, Validators
from tests.sources.world import NOON, Reply, Seen, Site, site


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as world:
        yield world


async def test_one_host_gets_one_request_at_a_time_and_another_need_not_wait(web: Site) -> None:
    with site() as other:
        busy = 0
        most = 0
        lock = threading.Lock()
        release = threading.Event()

        def answer(_: Seen) -> Reply:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            release.wait(30)
            with lock:
                busy -= 1
            return Reply(body=b"x")

        web.answer = answer
        other.serve(Reply(body=b"y"))
        client = HttpClient(allow_private=["127.0.0.1"])
        fetcher = Fetcher(client, rate=1000)
        several = [asyncio.create_task(fetcher.fetch(f"{web.url}/{n}", Validators(), NOON)) for n in range(4)]
        try:
            fetched = await fetcher.fetch(other.url, Validators(), NOON)
            assert isinstance(fetched, Document)
            assert fetched.body == b"y"
            assert not any(task.done() for task in several)
        finally:
            release.set()
        assert len(await asyncio.gather(*several)) == 4
        assert most == 1
        await client.close()
