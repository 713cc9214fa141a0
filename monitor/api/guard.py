"""What stands before every route: an API without tokens must not be reachable through somebody's browser.

A page of another site can make a browser on this machine send requests to 127.0.0.1. It cannot make it lie about
where they come from, so two checks keep it out: the name by which we are called must be ours (else a name of the
attacker's that points to 127.0.0.1 would make his page our neighbour: DNS rebinding), and whatever changes
something must not come from another site (`Sec-Fetch-Site`, `Origin`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from ipaddress import ip_address
from time import perf_counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.problems import Problem, answer
from monitor.telemetry import Telemetry

NO_ANSWER = 499  # what nginx writes where the caller went away: nobody was answered
SAFE = frozenset({"GET", "HEAD"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OWN_SITE = frozenset({"same-origin", "none"})  # `same-site` may be another port of this machine: not ours
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

log = structlog.get_logger()


class Guard:
    """Refuses what another site could send, adds the security headers, counts, and answers 500 for the unexpected."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], telemetry: Telemetry) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._serve(scope, receive, guarded)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the server stops and has waited long enough: who still waits is told so
            if status:
                raise
            await answer(503, "newsquake is shutting down; ask again later")(scope, receive, guarded)
        except Exception:
            log.exception("a request failed", method=scope["method"], path=scope["path"])
            if status:  # the answer is under way: cutting it off is all that is left
                raise
            await answer(500, "something unexpected went wrong; the daemon's log has more")(scope, receive, guarded)
        finally:
            self._count(scope, status or NO_ANSWER, perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = refusal(scope["method"], Headers(scope=scope), self._hosts)
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await answer(refused.status_code, refused.detail, refused.where)(scope, receive, send)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", "none")  # the pattern, never the path: labels stay few
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._telemetry.http_requests.labels(method, route, str(status)).inc()
        self._telemetry.http_seconds.labels(route).observe(seconds)


def refusal(method: str, headers: Headers, hosts: Collection[str]) -> Problem | None:
    """Return why a request is refused, or None where it may pass. `hosts` are the names that are ours."""
    host = headers.get("host", "")
    if not _ours(host, hosts):
        return Problem(421, f"called as {host[:80]!r}, which is no name of ours; names go into api.hosts", where="Host")
    if method in SAFE:
        return None
    site = headers.get("sec-fetch-site")
    if site is not None and site not in OWN_SITE:
        return Problem(403, "a page of another site may not change anything here", where="Sec-Fetch-Site")
    origin = headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != host.lower():
        return Problem(403, "a page of another site may not change anything here", where="Origin")
    return None


def _ours(host: str, hosts: Collection[str]) -> bool:
    name, colon, port = host.lower().rpartition(":")
    if not colon or not port.isdigit():
        name = host.lower()
    name = name.removesuffix(".")
    if name in hosts:
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
