from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from monitor.clock import SystemClock
from monitor.delivery.heartbeat import Heartbeat
from monitor.net import HttpClient
from monitor.telemetry import Telemetry
from tests.delivery.receiver import RESET, Behaviour, Receiver, receiving


class Patient:
    """A life of which the tests decide whether it is well."""

    def __init__(self, *script: Behaviour) -> None:
        self.script = script
        self.well = True
        self.telemetry = Telemetry()

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[Receiver]:
        client = HttpClient(allow_private=["127.0.0.1"])
        async with receiving(*self.script) as receiver:
            heartbeat = Heartbeat(
                receiver.url,
                every=0.02,
                well=lambda: self.well,
                client=client,
                clock=SystemClock(),
                telemetry=self.telemetry,
            )
            task = asyncio.create_task(heartbeat.run())
            yield receiver
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await client.close()

    def count(self, outcome: str) -> float:
        return self.telemetry.registry.get_sample_value("newsquake_heartbeats_total", {"outcome": outcome}) or 0.0


async def eventually(patient: Patient, outcome: str, count: float) -> None:
    async with asyncio.timeout(30.0):
        while patient.count(outcome) < count:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.005)


async def test_while_it_is_well_it_beats_and_where_it_is_not_it_keeps_still() -> None:
    patient = Patient()
    async with patient.beating() as receiver:
        await eventually(patient, "sent", 3)
        patient.well = False
        await eventually(patient, "withheld", 1)
        heard = len(receiver.requests)
        await eventually(patient, "withheld", 5)
        assert len(receiver.requests) == heard
        patient.well = True
        await eventually(patient, "sent", heard + 1)


@pytest.mark.parametrize("trouble", [500, 404, RESET])
async def test_a_beat_that_does_not_arrive_is_counted_and_told_without_the_address(trouble: Behaviour) -> None:
    patient = Patient(trouble)
    with capture_logs() as logs:
        async with patient.beating():
            await eventually(patient, "sent", 1)
    assert patient.count("failed") == 1
    assert len(logs) == 1
    assert "url-secret" not in str(logs)
