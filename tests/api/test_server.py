from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from monitor.api.listen import address_of, holder, require_token
from monitor.api.server import ApiServer, create_app
from monitor.api.services import Check
from monitor.errors import ConfigurationError, NewsquakeError
from monitor.reading import Scope, Token
from tests.api.conftest import NOON, Archive, Desk

LOCAL = address_of("127.0.0.1:0")


def server_of(desk: Desk) -> ApiServer:
    return ApiServer(create_app(desk.services(), hosts=(), max_body=1000), LOCAL)


@pytest.mark.parametrize(
    ("bind", "shown"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("localhost:0", "127.0.0.1:0"),
        ("[::1]:8080", "[::1]:8080"),
        ("127.8.8.8:65535", "127.8.8.8:65535"),
    ],
)
def test_this_machine_may_be_bound(bind: str, shown: str) -> None:
    assert str(address_of(bind)) == shown


@pytest.mark.parametrize("bind", ["0.0.0.0:8080", "192.168.1.4:80", "[::]:8080", "8.8.8.8:53"])
def test_an_address_that_others_can_reach_needs_a_token_that_is_good(bind: str) -> None:
    address = address_of(bind)
    good = Token(id="1", name="desk", scopes=frozenset(Scope), created=NOON)
    for tokens in ([], [replace(good, revoked=NOON)], [replace(good, expires=NOON)]):
        with pytest.raises(ConfigurationError, match="other machines can reach") as caught:
            require_token(address, tokens, NOON)
        assert repr(bind) in str(caught.value)
        assert "newsquake token create" in str(caught.value)
    require_token(address, [replace(good, revoked=NOON), good], NOON)


def test_this_machine_may_be_bound_without_a_token() -> None:
    require_token(LOCAL, [], NOON)


@pytest.mark.parametrize(
    "bind", ["", "8080", ":8080", "localhost", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "a.b:1"]
)
def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(ConfigurationError, match="expected an address and a port"):
        address_of(bind)


def test_a_port_in_use_names_the_address_and_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = address_of(f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(NewsquakeError) as caught:
            ApiServer(create_nothing, address).bind()
    assert str(address) in str(caught.value)
    assert "in use" in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who holds a port")
def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert f"(pid {os.getpid()})" in str(holder(other.getsockname()[1]))


async def create_nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asks")


async def test_the_real_port_is_told(desk: Desk) -> None:
    assert desk.server is not None
    assert desk.server.address.port > 0


async def test_signals_stay_with_the_daemon(archive: Archive) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = server_of(Desk(archive))
    server.bind()
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{server.address}", verify=False) as client:
        await client.get("/healthz")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await server.stop(5)
    await serving


async def test_stopping_lets_requests_under_way_end(archive: Archive) -> None:
    desk = Desk(archive, hold=asyncio.Event())
    assert desk.hold is not None
    server = server_of(desk)
    server.bind()
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{server.address}", verify=False) as client:
        under_way = asyncio.create_task(client.post("/api/v1/articles", json={"articles": [{"title": "A"}]}))
        await client.get("/healthz")
        stopping = asyncio.create_task(server.stop(30))
        await asyncio.sleep(0.3)
        assert not stopping.done()
        desk.hold.set()
        assert (await under_way).status_code == 200
    await stopping
    await serving


async def test_stopping_waits_no_longer_than_its_grace(archive: Archive) -> None:
    desk = Desk(archive, hold=asyncio.Event())
    server = server_of(desk)
    server.bind()
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{server.address}", verify=False) as client:
        stuck = asyncio.create_task(client.post("/api/v1/articles", json={"articles": [{"title": "A"}]}))
        await client.get("/healthz")
        async with asyncio.timeout(20):
            await server.stop(0)
        with pytest.raises(httpx2.HTTPError):
            (await stuck).raise_for_status()
    await serving


async def test_a_server_that_never_served_can_be_stopped(archive: Archive) -> None:
    server = server_of(Desk(archive))
    await server.stop(1)
    server.bind()
    address = server.address
    await server.stop(1)
    await server.serve()
    with socket.create_server((str(address.ip), address.port)):
        pass


async def test_a_cancelled_server_lets_go_of_its_port(archive: Archive) -> None:
    server = server_of(Desk(archive))
    server.bind()
    serving = asyncio.create_task(server.serve())
    address = server.address
    async with httpx2.AsyncClient(base_url=f"http://{address}", verify=False) as client:
        await client.get("/healthz")
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with socket.create_server((str(address.ip), address.port)):
        pass


async def test_ready_says_what_is_missing(desk: Desk) -> None:
    assert (await desk.get("/readyz"))["status"] == "ok"
    desk.checks = [Check(name="store", ok=True, detail="open"), Check(name="model", ok=False, detail="loading")]
    answer = await desk.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "checks": [
            {"name": "store", "ok": True, "detail": "open"},
            {"name": "model", "ok": False, "detail": "loading"},
        ],
    }
    assert (await desk.client.head("/readyz")).status_code == 503
    assert (await desk.client.head("/healthz")).status_code == 200


async def test_metrics_are_what_prometheus_reads(desk: Desk) -> None:
    desk.telemetry.watch(lambda: desk.live)
    answer = await desk.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'newsquake_key_surging{key="entity:acme"} 1.0' in answer.text
    new = await desk.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert new.headers["content-type"].startswith("application/openmetrics-text")
    assert new.text.endswith("# EOF\n")
