"""Who may do what: bearer tokens with scopes.

On a loopback address everything is open until the first token is made; from then on, and on any other address from the
start, each route needs a token with its scope. Only the page, `/healthz`, `/readyz` and `/openapi.json`, which hold no
data, are open to all.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

import structlog
from aiolimiter import AsyncLimiter
from fastapi import Request, Security
from fastapi.params import Security as Needs
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from monitor.api.problems import Problem
from monitor.core.tokens import Standing, hash_of, standing
from monitor.ports import Clock
from monitor.reading import Scope, Token, Tokens

FAILURES, SPAN = 10, 60.0  # wrong tokens from one address that are answered one by one, in so many seconds
ADDRESSES = 4096  # that are remembered; the one that failed longest ago is forgotten first
REALM = 'Bearer realm="newsquake"'

log = structlog.get_logger()

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token made by `newsquake token create`. Needed as soon as there is one; the roles named are scopes.",
)


class Authority:
    """Lets a request pass or raises Problem 401, 403 or 429.

    Only failures are limited: behind a proxy all callers share an address, and one who guesses must not lock the others
    out. Nobody guesses 256 bits.
    """

    def __init__(self, tokens: Tokens, clock: Clock, *, closed: bool) -> None:
        """`closed` needs tokens also where none was ever made."""
        self._tokens = tokens
        self._clock = clock
        self._closed = closed
        self._failures: OrderedDict[str, AsyncLimiter] = OrderedDict()

    async def admit(self, secret: str | None, scope: Scope, address: str) -> str | None:
        """Return the name of the token that opens the scope; None where no token is needed."""
        known = await self._tokens.by_hash()
        if not known and not self._closed:
            return None
        if secret is None:
            raise await self._refusal(address, f"this needs a token with the scope {scope}", None)
        token = known.get(hash_of(secret))
        state = standing(token, self._clock.now()) if token else None
        if token is None or state is not Standing.LIVE:
            raise await self._refusal(address, f"this token is {state or 'not known'}", token)
        if not {scope, Scope.ADMIN} & token.scopes:
            scopes = ", ".join(sorted(token.scopes))
            raise Problem(
                403,
                f"this needs a token with the scope {scope}; that of {token.name!r} has {scopes}",
                where="Authorization",
                headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
            )
        return token.name

    async def _refusal(self, address: str, message: str, token: Token | None) -> Problem:
        """Return 401, or 429 where too many were refused of late."""
        network = network_of(address)
        limiter = self._failures.setdefault(network, AsyncLimiter(FAILURES, SPAN))
        self._failures.move_to_end(network)
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        if not limiter.has_capacity():
            wait = {"Retry-After": str(math.ceil(SPAN / FAILURES))}
            return Problem(429, "too many requests from this address without a good token", headers=wait)
        await limiter.acquire()  # at once: there is room
        log.warning("a request was refused", reason=message, address=address, token=token.id if token else None)
        challenge = REALM if message.startswith("this needs") else f'{REALM}, error="invalid_token"'
        return Problem(401, message, where="Authorization", headers={"WWW-Authenticate": challenge})


def network_of(address: str) -> str:
    """Return what one caller can freely choose an address from: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)


async def _admitted(
    request: Request,
    needed: SecurityScopes,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> None:
    authority: Authority = request.app.state.authority
    address = request.client.host if request.client else "unknown"
    secret = given.credentials if given else None
    for scope in needed.scopes:
        request.state.admit = partial(authority.admit, secret, Scope(scope), address)
        request.state.caller = await request.state.admit()


def needs(scope: Scope) -> Needs:
    """Return the dependency of a route, or of a whole router, that only a token with this scope opens."""
    return Needs(_admitted, scopes=[scope.value])


async def still_good(request: Request) -> bool:
    """Say whether what let a request pass would let it pass again: what lasts is asked for anew now and then."""
    try:
        await request.state.admit()
    except Problem:
        return False
    return True


def caller(request: Request) -> str | None:
    """Return the name of the token that a request came with; None where none is needed."""
    name: str | None = request.state.caller
    return name
