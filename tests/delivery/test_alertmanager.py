"""The target on a receiver that misbehaves as told, and together with the reconciler on a real Alertmanager."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.clock import SystemClock
from monitor.core.alerts import SHOWN
from monitor.delivery.outbox import Outbox
from monitor.delivery.reconciler import Reconciler
from monitor.delivery.targets.alertmanager import AlertmanagerTarget, basic, bearer
from monitor.errors import ConfigurationError
from monitor.net import HttpClient
from monitor.ports import Case, Delivery, Notice, Rejected, Retry, Sent
from monitor.telemetry import Telemetry
from monitor.types import Change, Incident, IncidentId, IncidentState, Severity
from tests.alerting import Alertmanager, Pager, alertmanager
from tests.core.telling import T0, headline, incident
from tests.delivery.receiver import RESET, SILENT, Behaviour, receiving
from tests.fakes import FakeStore
from tests.samples import DESK, message

OPENED = Notice(change=Change.OPENED, severity=Severity.HIGH, created=T0, ended=None)


def case(number: int = 0) -> Case:
    return Case(incident=incident("entity:acme", id=IncidentId(f"{number:032x}")), notices=(OPENED,))


@asynccontextmanager
async def targeting(
    *urls: str, timeout: float = 30.0, authorization: str | None = None
) -> AsyncIterator[AlertmanagerTarget]:
    client = HttpClient(allow_private=["127.0.0.1"], timeout=timeout)
    yield AlertmanagerTarget(
        DESK, urls, labels={"team": "risk"}, address=None, authorization=authorization, client=client
    )
    await client.close()


@pytest.mark.parametrize(
    ("behaviour", "delivery"),
    [
        (200, Sent()),
        (400, Rejected("refused")),
        (401, Retry("refused")),
        (403, Retry("refused")),
        (404, Retry("refused")),
        (410, Retry("gone")),
        (429, Retry("busy")),
        (503, Retry("server_error")),
        ((302, {"location": "http://127.0.0.1:1/"}), Retry("redirected")),
        (RESET, Retry("unreachable")),
    ],
)
async def test_only_what_is_wrong_with_the_alert_itself_is_given_up(behaviour: Behaviour, delivery: Delivery) -> None:
    async with receiving(behaviour) as receiver, targeting(receiver.url) as target:
        assert await target.show([case()], T0) == delivery
    assert len(receiver.requests) == 1


async def test_one_member_of_the_cluster_that_takes_everything_is_enough_and_each_is_told() -> None:
    async with receiving() as well, receiving(SILENT) as hung, targeting(hung.url, well.url, timeout=0.3) as target:
        assert await target.show([case()], T0) == Sent()
        assert (len(well.requests), len(hung.requests)) == (1, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with targeting(dead, dead) as target:
            assert await target.show([case()], T0) == Retry("unreachable")


async def test_with_nothing_to_show_nobody_is_called() -> None:
    async with receiving() as receiver, targeting(receiver.url) as target:
        assert await target.show([], T0) == Sent()
    assert receiver.requests == []


async def test_very_many_incidents_come_in_several_requests_none_cut_apart() -> None:
    raised = replace(OPENED, change=Change.RAISED, severity=Severity.CRITICAL, created=T0 + timedelta(minutes=1))
    many = [replace(case(number), notices=(OPENED, raised)) for number in range(120)]
    async with receiving() as receiver, targeting(receiver.url) as target:
        assert await target.show(many, T0 + timedelta(minutes=2)) == Sent()
    bodies = [json.loads(request.body) for request in receiver.requests]
    assert [len(body) for body in bodies] == [100, 100, 40]
    assert all(
        first["endsAt"] == second["startsAt"]
        for body in bodies
        for first, second in zip(body[::2], body[1::2], strict=True)
    )


@pytest.mark.parametrize("authorization", [bearer("tok3n"), basic("desk", "päss:word")])
async def test_who_asks_for_credentials_gets_them_and_they_are_told_to_nobody_else(authorization: str) -> None:
    async with receiving(401) as receiver, targeting(receiver.url, authorization=authorization) as target:
        with capture_logs() as logs:
            await target.show([case()], T0)
        assert receiver.requests[0].headers["authorization"] == authorization
        assert authorization not in f"{target!r}{logs}"
        assert logs[0]["status"] == 401
        assert "url-secret" not in f"{target!r}{logs}"


def test_credentials_are_written_as_http_wants_them() -> None:
    assert base64.b64decode(basic("desk", "päss:word").removeprefix("Basic ")).decode() == "desk:päss:word"
    assert bearer("tok3n") == "Bearer tok3n"


def test_a_label_that_is_newsquakes_own_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"labels\.severity: newsquake sets this label itself"):
        AlertmanagerTarget(DESK, (), labels={"severity": "x"}, address=None, authorization=None, client=HttpClient())


# --- a real Alertmanager ---

ROUND = 0.2  # seconds between two rounds
MANY_ROUNDS = 15 * ROUND
HALF_HOUR = timedelta(minutes=30)
ACME = incident("entity:acme", evidence=(headline("one", title='艾克米 "<!channel>" \u202e{{ .Labels }}'),))


class SkippingClock(SystemClock):
    """The machine's clock, at first half an hour slow: half an hour passes when it is put right."""

    behind = HALF_HOUR

    def now(self) -> datetime:
        return super().now() - self.behind


class House:
    """What stays when newsquake is stopped and started: its database, and who is behind the Alertmanager."""

    def __init__(self, server: Alertmanager, pager: Pager) -> None:
        self.server = server
        self.pager = pager
        self.clock = SkippingClock()
        self.store = FakeStore()
        self._outbox: Outbox | None = None

    @asynccontextmanager
    async def newsquake(self) -> AsyncIterator[None]:
        """Run the outbox and the reconciler as the daemon does, with a short pause between two rounds."""
        telemetry = Telemetry()
        async with targeting(self.server.url) as board:
            target = Reconciler(board, store=self.store, clock=self.clock, telemetry=telemetry, every=ROUND)
            outbox = Outbox(target=target, store=self.store, clock=self.clock, random=Random(1), telemetry=telemetry)
            tasks = [asyncio.create_task(each) for each in (outbox.run(), target.run())]
            self._outbox = outbox
            yield
            self._outbox = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def begun(self, **other: Any) -> Incident:
        return replace(ACME, opened=self.clock.now(), **other)

    def over(self, one: Incident) -> Incident:
        return replace(one, state=IncidentState.RESOLVED, resolved=self.clock.now(), active=frozenset())

    async def commit(self, one: Incident, change: Change) -> None:
        """Save an incident with its message, as the daemon's own transaction does."""
        key = f"{one.id}.{change}-{one.severity}" if change is Change.RAISED else f"{one.id}.{change}"
        async with self.store.transaction() as transaction:
            await transaction.save_incidents([one])
            await transaction.post([replace(message(one, change, created=self.clock.now()), key=key)])
        if self._outbox is not None:
            self._outbox.wake()

    def skip(self) -> None:
        """Let half an hour pass."""
        self.clock.behind = timedelta(0)

    def active(self) -> list[str]:
        return sorted(each["labels"]["severity"] for each in self.server.alerts())

    def told(self, status: str, **labels: str) -> int:
        return len(self.pager.got(status, **labels))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with alertmanager(tmp_path) as (server, pager):
        yield House(server, pager)


async def eventually(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(60.0):
        while not await asyncio.to_thread(happened):  # noqa: ASYNC110 - servers of others tell nobody of it
            await asyncio.sleep(0.05)


async def test_an_incident_is_active_over_its_whole_life_and_resolves_once(house: House) -> None:
    one = house.begun()
    async with house.newsquake():
        await house.commit(one, Change.OPENED)
        await eventually(lambda: house.told("firing"))
        [before] = house.server.alerts()
        assert before["labels"] | {"incident": one.id, "key": "entity:acme", "severity": "high"} == before["labels"]
        assert before["annotations"]["headline"] == '艾克米 "‹!channel›" {{ .Labels }}'
        house.skip()
        await eventually(lambda: house.server.alerts()[0]["endsAt"] > before["endsAt"])
        await asyncio.sleep(MANY_ROUNDS)
        [after] = house.server.alerts()
        assert all(after[name] == before[name] for name in ("fingerprint", "labels", "startsAt"))
        await house.commit(house.over(one), Change.RESOLVED)
        await eventually(lambda: house.told("resolved"))
        await asyncio.sleep(MANY_ROUNDS)  # it is shown as over, again and again
        assert house.server.alerts() == []
    assert (house.told("firing"), house.told("resolved")) == (1, 1)


async def test_a_rise_replaces_the_alert_by_one_of_the_higher_severity(house: House) -> None:
    one = house.begun(severity=Severity.LOW)
    async with house.newsquake():
        await house.commit(one, Change.OPENED)
        await eventually(lambda: house.told("firing", severity="low"))
        await house.commit(replace(one, severity=Severity.CRITICAL), Change.RAISED)
        await eventually(lambda: house.told("firing", severity="critical") and house.told("resolved", severity="low"))
        assert house.active() == ["critical"]
        house.skip()
        await house.commit(house.over(replace(one, severity=Severity.CRITICAL)), Change.RESOLVED)
        await eventually(lambda: house.told("resolved", severity="critical"))
        await asyncio.sleep(MANY_ROUNDS)
    for severity in ("low", "critical"):
        assert (house.told("firing", severity=severity), house.told("resolved", severity=severity)) == (1, 1)


async def test_an_alertmanager_that_lost_everything_knows_it_again_with_the_next_round(house: House) -> None:
    one = house.begun()
    async with house.newsquake():
        await house.commit(one, Change.OPENED)
        await eventually(lambda: house.told("firing"))
        [before] = house.server.alerts()
        house.server.kill(forget=True)
        await asyncio.sleep(MANY_ROUNDS)
        await asyncio.to_thread(house.server.start)
        await eventually(house.server.alerts)
        [after] = house.server.alerts()
        assert all(after[name] == before[name] for name in ("fingerprint", "labels", "startsAt"))
        house.skip()
        await eventually(lambda: house.told("firing") == 2)  # it forgot that it had told; before it tells of the end
        await house.commit(house.over(one), Change.RESOLVED)
        await eventually(lambda: house.told("resolved"))
        await asyncio.sleep(MANY_ROUNDS)
    assert house.told("resolved") == 1


async def test_a_newsquake_that_is_started_again_goes_on_where_it_was(house: House) -> None:
    one = house.begun()
    async with house.newsquake():
        await house.commit(one, Change.OPENED)
        await eventually(lambda: house.told("firing"))
    [before] = house.server.alerts()
    house.skip()
    async with house.newsquake():
        await eventually(lambda: house.server.alerts()[0]["endsAt"] > before["endsAt"])
        [after] = house.server.alerts()
        assert all(after[name] == before[name] for name in ("fingerprint", "labels", "startsAt"))
        await house.commit(house.over(one), Change.RESOLVED)
    async with house.newsquake():
        await eventually(lambda: house.told("resolved"))
        await asyncio.sleep(MANY_ROUNDS)
    assert (house.told("firing"), house.told("resolved")) == (1, 1)


async def test_what_began_and_was_over_while_the_alertmanager_was_away_is_told_all_the_same(house: House) -> None:
    house.server.kill()
    one = house.begun()
    house.skip()
    await house.commit(one, Change.OPENED)
    await house.commit(replace(house.over(one), resolved=one.opened + timedelta(minutes=1)), Change.RESOLVED)
    await asyncio.to_thread(house.server.start)
    async with house.newsquake():
        await eventually(lambda: house.told("firing"))
        [alert] = house.server.alerts()
        assert datetime.fromisoformat(alert["endsAt"]) <= house.clock.now() + SHOWN
