"""`newsquake check`: does every part of a configuration work? Looks, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from monitor import config as sections
from monitor.api.listen import address_of, listen, require_token
from monitor.assembly import authorization_of, desk_of, kafka, sources_of, targets_of
from monitor.calendars import days_off
from monitor.clock import SystemClock
from monitor.config import Config, load, reveal
from monitor.errors import ConfigurationError, NewsquakeError, SourceError, StoreError, TargetError
from monitor.net import HttpClient
from monitor.pipeline import Desk
from monitor.scoring.reload import open_worker
from monitor.sources.archive import archive_files
from monitor.sources.fetch import Document, Fetcher, Validators
from monitor.sources.parsers import ParserPool
from monitor.store.operations import Standing, schema_state
from monitor.store.tokens import listed


async def check(path: Path) -> int:
    """Print a line for each part; return 0 where all work, else 1. Raise ConfigurationError for a wrong file."""
    config = load(path)
    desk = desk_of(config)
    print(f"ok      configuration  {path}")
    client = HttpClient(allow_private=config.http.allow_private)
    parsers = ParserPool()
    failed = 0
    try:
        for name, look in _looks(config, desk, client, parsers):
            try:
                found = await look()
            except NewsquakeError as error:
                failed += 1
                print(f"FAILED  {name}  {error}")
            else:
                print(f"ok      {name}  {found}")
    finally:
        await parsers.close()
        await client.close()
    return 1 if failed else 0


Look = Callable[[], Awaitable[str]]


def _looks(config: Config, desk: Desk, client: HttpClient, parsers: ParserPool) -> list[tuple[str, Look]]:
    """Return every part by name, with what tells how it is or raises what is wrong."""
    looks: list[tuple[str, Look]] = [
        ("watchlist", partial(_watchlist, desk)),
        ("store", partial(_store, config.store.url)),
        ("model", partial(_model, config.model.reference, config.model.labels)),
        ("api", partial(_api, config.api.bind, config.store.url)),
    ]
    looks += [(f"calendar {each}", partial(_calendar, each)) for each in config.detect.calendar]
    looks += [(f"source {each.id}", partial(_source, each, client, parsers)) for each in sources_of(config)]
    looks += [(f"target {each.id}", partial(_target, each, client)) for each in targets_of(config)]
    if config.export is not None:
        looks.append(("export", partial(kafka("export").look_at_export, config.export)))
    looks += [(f"route {number}", partial(_route, each)) for number, each in enumerate(config.route, start=1)]
    if config.metrics.prometheus is not None or any(_pushed(config).values()):
        looks.append(("prometheus", partial(_prometheus, config, client)))
    return looks


async def _watchlist(desk: Desk) -> str:
    companies = len(desk.watchlist.companies)
    return f"{companies} companies" if companies else "no companies: only topics, sources and the whole are watched"


async def _store(url: str) -> str:
    state = await schema_state(url)
    if state.standing in (Standing.NEWER, Standing.FOREIGN):
        raise StoreError(f"{state.name}: {state.standing}: schema {state.found}, expected {state.expected}")
    if state.standing is Standing.OLD and not url.startswith("sqlite:"):
        raise StoreError(f"{state.name}: schema {state.found} is old: run `newsquake db upgrade`")
    return f"{state.name}: {state.standing}, schema {state.found or 'to be made at the first run'}"


async def _model(reference: str, labels: Mapping[str, str]) -> str:
    worker = await open_worker(reference, labels=labels, clock=SystemClock())
    await worker.close()
    return f"{reference}: {worker.model}, verified on its golden inputs"


async def _api(bind: str, url: str) -> str:
    address = address_of(bind)
    listen(address).close()
    made = await listed(url) if (await schema_state(url)).standing is Standing.CURRENT else []
    require_token(address, made, SystemClock().now())
    return f"{address} is free; {'a token is needed' if made else 'open to this machine: no token was made'}"


async def _calendar(exchange: str) -> str:
    today, days = SystemClock().now().date(), days_off(exchange)
    year = sum(1.0 - each.half / 2 for each in days if each.day.year == today.year)
    coming = next(each for each in days if each.day >= today)
    half = " (half a day)" if coming.half else ""
    return f"{year:g} days off in {today.year}, the next {coming.day} {coming.name}{half}; known until {days[-1].day}"


async def _source(section: sections.AnySource, client: HttpClient, parsers: ParserPool) -> str:
    match section:
        case sections.FeedSource():
            fetched = await Fetcher(client).fetch(section.url, Validators(), SystemClock().now())
            if not isinstance(fetched, Document):
                raise SourceError("answered that nothing changed, though it was asked for everything")
            feed = await parsers.read(fetched.body, fetched.content_type, fetched.location)
            if not feed.format:
                raise SourceError(f"found {fetched.content_type or 'no content type'}; expected RSS or Atom")
            return f"{feed.format}, {len(feed.entries)} items"
        case sections.PushSource():
            return "POST /api/v1/articles"
        case sections.ArchiveSource():
            return f"{len(archive_files(section.path))} files"
        case sections.KafkaSource():
            return str(await kafka(f"source {section.id!r}").look_at_source(section))


async def _target(section: sections.AnyTarget, client: HttpClient) -> str:
    match section:
        case sections.LogTarget():
            return "the daemon's log"
        case sections.WebhookTarget():
            if section.secret:
                reveal(section.secret, f"target {section.id!r}: secret")
            answer = await client.get(section.url)  # nothing is sent: that it answers at all is what can be known
            signed = "signed" if section.secret else "not signed: give it a secret"
            return f"its server answers ({answer.status} to a GET); {signed}"
        case sections.AlertmanagerTarget():
            return "; ".join([await _alertmanager(url, section, client) for url in (section.url, *section.peers)])
        case sections.KafkaTarget():
            return str(await kafka(f"target {section.id!r}").look_at_target(section))


async def _alertmanager(url: str, section: sections.AlertmanagerTarget, client: HttpClient) -> str:
    authorization = authorization_of(section)
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await client.get(f"{url.rstrip('/')}/api/v2/status", headers)
    try:
        status = json.loads(answer.body)
        return f"Alertmanager {status['versionInfo']['version']}, cluster {status['cluster']['status']}"
    except (ValueError, TypeError, KeyError):
        raise TargetError(
            f"answered {answer.status} to GET /api/v2/status; expected an Alertmanager's status"
        ) from None


async def _route(section: sections.RouteSection) -> str:
    given = {name: value for name, value in section.match.model_dump().items() if value}
    wanted = ", ".join(f"{name} {' or '.join(value)}" for name, value in given.items()) or "everything"
    return f"{wanted} to {', '.join(section.targets)}"


# The shipped rules that tell of incidents (deploy/prometheus/newsquake-incidents.rules.yml), by kind.
RULES = {"surge": "NewsquakeKeySurging", "blind": "NewsquakeSourceBlind"}


def _pushed(config: Config) -> dict[str, bool]:
    """Tell for each kind of incident whether a route leads it to an Alertmanager."""
    managers = {each.id for each in targets_of(config) if isinstance(each, sections.AlertmanagerTarget)}
    if not config.route:
        return dict.fromkeys(RULES, bool(managers))
    led = [route.match.kind for route in config.route if managers & set(route.targets)]
    return {kind: any(not kinds or kind in kinds for kinds in led) for kind in RULES}


async def _prometheus(config: Config, client: HttpClient) -> str:
    """Ask Prometheus which of the shipped rules it has. Raise where a rule and a route tell of the same incidents."""
    if config.metrics.prometheus is None:
        return "not asked: name it in metrics.prometheus, to be sure that no shipped rule tells of what is pushed"
    url = f"{config.metrics.prometheus.rstrip('/')}/api/v1/rules?type=alert"
    answer = await client.get(url)
    try:
        groups = json.loads(answer.body)["data"]["groups"]
        names = {rule["name"] for group in groups for rule in group["rules"]}
    except (ValueError, TypeError, KeyError):
        raise TargetError(f"answered {answer.status} to GET /api/v1/rules; expected a Prometheus") from None
    for kind, pushed in _pushed(config).items():
        if pushed and RULES[kind] in names:
            raise ConfigurationError(
                f"metrics.prometheus has the rule {RULES[kind]}, and a route leads incidents of the kind {kind} to an "
                "Alertmanager: they would be told twice. Take newsquake-incidents.rules.yml out of Prometheus, or the "
                "target out of the route"
            )
    return f"{sum(name.startswith('Newsquake') for name in names)} of the shipped rules are loaded"
