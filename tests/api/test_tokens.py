"""Who may do what over the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from monitor.api import auth
from monitor.api.auth import FAILURES, Authority, network_of
from monitor.api.listen import address_of
from monitor.api.problems import Problem
from monitor.api.server import ApiServer, create_app
from monitor.core.tokens import secret_of
from monitor.errors import StoreError
from monitor.reading import Scope
from tests.api.conftest import NOON, SECRET, Archive, Desk, Stopped

READ, WRITE = "/api/v1/sources", "/api/v1/incidents/42/verdict"
OTHER = secret_of(bytes(32))


async def ask(desk: Desk, path: str = READ, headers: dict[str, str] | None = None) -> httpx2.Response:
    if path == READ:
        return await desk.client.get(path, headers=headers)
    return await desk.client.post(path, json={"verdict": "right"}, headers=headers)


async def test_without_any_token_this_machine_may_do_everything(desk: Desk) -> None:
    assert (await ask(desk)).status_code == 200
    assert (await ask(desk, WRITE)).status_code == 200
    assert (await ask(desk, headers={"authorization": "Bearer whatever"})).status_code == 200


async def test_with_the_first_token_all_others_need_one(desk: Desk) -> None:
    good = desk.token("read")
    refused = await ask(desk)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="newsquake"')
    assert refused.json()["error"] == {
        "status": 401,
        "message": "this needs a token with the scope read",
        "where": "Authorization",
    }
    assert (await ask(desk, headers=good)).status_code == 200
    assert (await ask(desk, headers={"authorization": f"bearer {SECRET}"})).status_code == 200


@pytest.mark.parametrize(
    "header",
    [f"Bearer {OTHER}", "Bearer nq_", f"Bearer {SECRET}x", f"Bearer x{SECRET}", f"Bearer {SECRET.upper()}", "Bearer é"],
)
async def test_a_wrong_token_is_told_to_be_one(desk: Desk, header: str) -> None:
    desk.token("read")
    refused = await desk.client.get(READ, headers={b"authorization": header.encode("latin-1")})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="newsquake", error="invalid_token"'


@pytest.mark.parametrize("header", [SECRET, f"Basic {SECRET}", f"Bearer{SECRET}", "Bearer", ""])
async def test_what_is_no_bearer_token_is_none(desk: Desk, header: str) -> None:
    desk.token("read")
    refused = await ask(desk, headers={"authorization": header})
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "this needs a token with the scope read")


async def test_a_token_in_the_address_is_none(desk: Desk) -> None:
    desk.token("read")
    answer = await desk.client.get(READ, params={"token": SECRET, "access_token": SECRET})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"expires": NOON}, "this token is expired"),
        ({"expires": NOON - timedelta(days=1)}, "this token is expired"),
        ({"revoked": NOON}, "this token is revoked"),
    ],
)
async def test_what_is_over_opens_nothing_and_closes_all_the_same(desk: Desk, more: dict[str, Any], said: str) -> None:
    headers = desk.token("read", **more)
    assert (await ask(desk)).status_code == 401
    refused = await ask(desk, headers=headers)
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, said)


async def test_who_writes_need_not_read_nor_who_reads_write(desk: Desk) -> None:
    writer = desk.token("write")
    assert (await ask(desk, WRITE, writer)).status_code == 200
    refused = await ask(desk, headers=writer)
    assert refused.status_code == 403
    assert "scope read" in refused.json()["error"]["message"]
    assert refused.headers["www-authenticate"] == 'Bearer realm="newsquake", error="insufficient_scope", scope="read"'
    reader = desk.token("read", secret=OTHER)
    assert (await ask(desk, WRITE, reader)).status_code == 403
    assert (await ask(desk, headers=reader)).status_code == 200


async def test_an_administrator_may_do_everything(desk: Desk) -> None:
    admin = desk.token("admin")
    assert (await ask(desk, WRITE, admin)).status_code == 200
    assert (await ask(desk, headers=admin)).status_code == 200


async def test_a_verdict_bears_the_name_of_its_token(desk: Desk) -> None:
    writer = desk.token("write")
    assert (await ask(desk, WRITE, writer)).json()["by"] == "grafana"
    named = await desk.client.post(WRITE, json={"verdict": "right", "by": "Ann"}, headers=writer)
    assert named.json()["by"] == "Ann"


async def test_whether_it_lives_may_be_asked_by_all_and_the_metrics_by_readers(desk: Desk) -> None:
    reader = desk.token("read")
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await desk.client.get(path)).status_code == 200
    assert (await desk.client.get("/metrics")).status_code == 401
    assert (await desk.client.get("/metrics", headers=reader)).status_code == 200


async def test_another_sites_page_is_refused_though_it_bears_a_token(desk: Desk) -> None:
    writer = desk.token("write")
    assert (await ask(desk, WRITE, {**writer, "origin": "https://evil.example"})).status_code == 403
    assert (await desk.client.get(READ, headers={**desk.token("read"), "host": "evil.example"})).status_code == 421


async def test_who_guesses_is_slowed_down_and_locks_nobody_out(desk: Desk) -> None:
    reader = desk.token("read")
    with capture_logs() as logs:
        codes = [
            (await ask(desk, headers={"authorization": f"Bearer nq_{number}"})).status_code
            for number in range(FAILURES + 3)
        ]
    assert codes == [401] * FAILURES + [429] * 3
    slowed = await ask(desk)
    assert (slowed.status_code, slowed.headers["retry-after"]) == (429, "6")
    assert (await ask(desk, headers=reader)).status_code == 200
    assert len([each for each in logs if each["event"] == "a request was refused"]) == FAILURES


async def test_no_log_and_no_answer_repeats_a_token(desk: Desk) -> None:
    revoked = desk.token("read", revoked=NOON)
    with capture_logs() as logs:
        answers = [await ask(desk, headers=revoked), await ask(desk, headers={"authorization": f"Bearer {OTHER}"})]
    assert [each["token"] for each in logs] == ["1f2e3d4c", None]
    for text in (*map(str, logs), *(answer.text + str(answer.headers) for answer in answers)):
        assert SECRET not in text
        assert OTHER not in text


async def test_a_proxys_word_for_who_calls_is_not_taken(desk: Desk) -> None:
    desk.token("read")
    codes = {
        (await ask(desk, headers={"x-forwarded-for": f"203.0.113.{number}", "forwarded": f"for={number}"})).status_code
        for number in range(FAILURES + 1)
    }
    assert codes == {401, 429}


async def test_tokens_that_cannot_be_read_open_nothing(desk: Desk) -> None:
    desk.refuse = StoreError("the database is away")
    answer = await ask(desk)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "the database is away")


@pytest.fixture
async def reachable(archive: Archive) -> AsyncIterator[Desk]:
    """An API that other machines can reach."""
    desk = Desk(archive)
    app = create_app(desk.services(), hosts=(), max_body=1000, closed=True)
    server = ApiServer(app, address_of("127.0.0.1:0"))
    server.bind()
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{server.address}", verify=False) as client:
        desk.client = client
        yield desk
    await server.stop(5)
    await serving


async def test_what_others_can_reach_needs_tokens_though_none_was_made(reachable: Desk) -> None:
    assert (await ask(reachable)).status_code == 401
    assert (await reachable.client.get("/healthz")).status_code == 200


def routes(router: APIRouter) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route, also of those that the document does not show."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield from ((method, route.path) for method in route.methods or ())
        elif included := getattr(route, "original_router", None):
            yield from routes(included)


async def test_every_route_that_shows_or_takes_something_needs_a_token(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "FAILURES", 1000)
    desk.token("read")
    answered = {
        (method, path): (await desk.client.request(method, path)).status_code
        for method, path in routes(create_app(desk.services(), hosts=(), max_body=1).router)
    }
    closed = {each for each in answered if each[1].startswith(("/api/", "/metrics"))}
    assert len(closed) > 10
    assert {each: code for each, code in answered.items() if (code == 401) != (each in closed)} == {}


async def test_the_document_names_the_scope_of_each_operation(desk: Desk) -> None:
    document = await desk.get("/openapi.json")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not path.startswith(("/api/", "/metrics")):
                assert "security" not in operation
            elif method == "get":
                assert operation["security"] == [{"token": ["read"]}]
            else:
                assert operation["security"] in ([{"token": ["write"]}], [{"token": ["admin"]}])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "unknown"),
    ],
)
def test_one_who_owns_a_network_is_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_memory_of_failures_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "ADDRESSES", 3)
    authority = Authority(desk, Stopped(), closed=True)
    for number in range(9):
        with pytest.raises(Problem):
            await authority.admit(None, Scope.READ, f"203.0.113.{number}")
    assert list(authority._failures) == ["203.0.113.6", "203.0.113.7", "203.0.113.8"]
