from __future__ import annotations

import asyncio
import os
import signal

import pytest

from monitor.lifecycle import Supervisor, signals


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_part_that_fails_stops_the_daemon_with_its_error() -> None:
    async def broken() -> None:
        raise ValueError("disk on fire")

    supervisor = Supervisor()
    supervisor.spawn("steady", forever())
    supervisor.spawn("broken", broken())
    await supervisor.wait()
    with pytest.raises(ValueError, match="disk on fire"):
        await supervisor.close(within=1)


async def test_a_part_that_ends_when_it_should_not_is_a_failure() -> None:
    async def short() -> None:
        return

    supervisor = Supervisor()
    supervisor.spawn("outbox", short())
    await supervisor.wait()
    with pytest.raises(RuntimeError, match="outbox ended"):
        await supervisor.close(within=1)


async def test_an_archive_may_end_without_stopping_the_daemon() -> None:
    async def short() -> None:
        return

    supervisor = Supervisor()
    supervisor.spawn("archive", short(), ends=True)
    await asyncio.sleep(0.01)
    assert not supervisor.stopping.is_set()
    await supervisor.close(within=1)


async def test_teardown_runs_last_in_first_out_and_goes_on_after_a_step_that_hangs_or_fails() -> None:
    order: list[str] = []

    def step(name: str) -> None:
        async def work() -> None:
            order.append(name)
            if name == "hangs":
                await forever()
            if name == "fails":
                raise OSError("no")

        supervisor.on_teardown(name, work)

    supervisor = Supervisor()
    for name in ("store", "hangs", "fails", "sources"):
        step(name)
    with pytest.raises(OSError, match="no"):
        await supervisor.close(within=1)
    assert order == ["sources", "fails", "hangs", "store"]


async def test_a_cancelled_part_is_no_failure() -> None:
    supervisor = Supervisor()
    supervisor.spawn("feed", forever())
    await supervisor.cancel("feed")
    assert not supervisor.stopping.is_set()
    await supervisor.close(within=1)


async def test_signals_reach_the_daemon() -> None:
    heard: list[str] = []
    with signals(lambda: heard.append("stop"), lambda: heard.append("reload")):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(50):
            await asyncio.sleep(0.01)
            if len(heard) == 2:
                break
    assert sorted(heard) == ["reload", "stop"]


async def test_nobody_waits_for_what_a_broken_part_would_have_brought() -> None:
    async def broken() -> None:
        raise ValueError("disk on fire")

    supervisor = Supervisor()
    supervisor.spawn("broken", broken())
    async with asyncio.timeout(5):
        await supervisor.unless_broken(forever())
    with pytest.raises(ValueError, match="disk on fire"):
        await supervisor.close(within=1)
