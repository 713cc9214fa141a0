from __future__ import annotations

import asyncio

import pytest
from starlette.datastructures import Headers
from structlog.testing import capture_logs

from monitor.api.guard import refusal
from monitor.reading import Reader
from tests.api.conftest import Desk

OURS = frozenset({"localhost", "newsquake.example"})


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.2", "[::1]:8080", "newsquake.example", "localhost.:80"],
)
def test_called_by_a_name_of_ours_it_answers(host: str) -> None:
    assert refusal("GET", Headers({"host": host}), OURS) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "192.168.0.7",
        "[::2]",
        "a@localhost",
        "::1:x",
    ],
)
def test_called_by_another_name_it_refuses(host: str) -> None:
    problem = refusal("GET", Headers({"host": host}), OURS)
    assert problem is not None
    assert (problem.status_code, problem.where) == (421, "Host")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost:8080.evil.example"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "OPTIONS"])
def test_another_site_cannot_write_through_a_browser(method: str, headers: dict[str, str]) -> None:
    problem = refusal(method, Headers({"host": "localhost:8080", **headers}), OURS)
    assert problem is not None
    assert problem.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin", "origin": "http://localhost:8080"}],
)
def test_our_own_page_and_programs_may_write(headers: dict[str, str]) -> None:
    assert refusal("POST", Headers({"host": "localhost:8080", **headers}), OURS) is None


async def test_a_refused_write_reaches_nobody(desk: Desk) -> None:
    answer = await desk.client.post(
        "/api/v1/articles", json={"articles": [{"title": "A"}]}, headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["where"] == "Origin"
    assert desk.pushed == []


async def test_a_rebound_name_reads_nothing(desk: Desk) -> None:
    answer = await desk.client.get("/api/v1/articles", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert (await desk.client.get("/healthz", headers={"host": "newsquake.example"})).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/articles", "/api/v1/nothing", "/openapi.json"])
async def test_every_answer_is_closed_to_other_sites(desk: Desk, path: str) -> None:
    headers = (await desk.client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


async def test_the_unexpected_is_answered_logged_and_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Reader) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(type(desk.archive.queries), "ledgers", broken)
    with capture_logs() as logs:
        answer = await desk.client.get("/api/v1/sources")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert [(each["event"], each["path"]) for each in logs] == [("a request failed", "/api/v1/sources")]
    labels = {"method": "GET", "route": "/api/v1/sources", "code": "500"}
    assert desk.telemetry.registry.get_sample_value("newsquake_http_requests_total", labels) == 1


async def test_requests_are_counted_by_route_never_by_path(desk: Desk) -> None:
    await desk.client.get("/api/v1/keys/entity:acme/series")
    await desk.client.get("/api/v1/keys/entity:other/series")
    await desk.client.get("/wp-admin")
    await desk.client.request("BREW", "/coffee")
    count = desk.telemetry.registry.get_sample_value
    series = {"method": "GET", "route": "/api/v1/keys/{key}/series", "code": "200"}
    assert count("newsquake_http_requests_total", series) == 2
    assert count("newsquake_http_requests_total", {"method": "GET", "route": "none", "code": "404"}) == 1
    assert count("newsquake_http_requests_total", {"method": "other", "route": "none", "code": "404"}) == 1


async def test_a_caller_who_hangs_up_is_no_failure(desk: Desk) -> None:
    assert desk.server is not None
    address = desk.server.address
    _, writer = await asyncio.open_connection(str(address.ip), address.port)
    writer.write(
        b"POST /api/v1/articles HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    labels = {"method": "POST", "route": "/api/v1/articles", "code": "499"}
    with capture_logs() as logs:
        while not desk.telemetry.registry.get_sample_value("newsquake_http_requests_total", labels):
            await desk.client.get("/healthz")
    assert logs == []


async def test_a_wrong_method_is_told_in_the_one_shape(desk: Desk) -> None:
    answer = await desk.client.delete("/api/v1/sources")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["error"] == {"status": 405, "message": "Method Not Allowed"}
