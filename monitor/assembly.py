"""From the configuration to parts: watchlist, routes, rules, sources and targets, each built from its own section."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING

from monitor import config as sections
from monitor.calendars import holidays_of
from monitor.config import Config, read_text, reveal
from monitor.core.detect.state import Rules
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.intake import IntakeRules
from monitor.core.routing import Route
from monitor.core.schedule import Rhythm
from monitor.delivery.heartbeat import Heartbeat
from monitor.delivery.targets.alertmanager import AlertmanagerTarget, basic, bearer
from monitor.delivery.targets.log import LogTarget
from monitor.delivery.targets.webhook import WebhookTarget
from monitor.errors import ConfigurationError
from monitor.net import HttpClient
from monitor.pipeline import Desk
from monitor.ports import Clock, ExportStore, Source, Target
from monitor.scoring.gist import open_gists
from monitor.sources.archive import ArchiveSource
from monitor.sources.feed import FeedSource
from monitor.sources.fetch import Fetcher
from monitor.sources.parsers import ParserPool
from monitor.sources.push import PushSource
from monitor.telemetry import Telemetry
from monitor.types import IncidentKind, Language, Severity, SourceId, TargetId

if TYPE_CHECKING:
    from monitor.delivery.exports import Exporter

DOOR = sections.PushSource(kind="push", id="push")  # there is always a door, also where none is configured
LOG = sections.LogTarget(kind="log", id="log")  # where no target is configured, incidents are told in the log


def watchlist_of(files: tuple[Path, ...]) -> Watchlist:
    """Read and merge watchlist files. Raise ConfigurationError, naming file and place, for whatever is wrong."""
    lists: list[Watchlist] = []
    for file in files:
        parse = Watchlist.parse_csv if file.suffix == ".csv" else Watchlist.parse_toml
        lists.append(parse(read_text(file, "watchlist"), str(file)))
    return Watchlist.merge(lists)


def desk_of(config: Config) -> Desk:
    """Build what the operator decides about reading, watching and routing."""
    watchlist = watchlist_of(config.watchlist.files)
    return Desk(
        watchlist=watchlist,
        tagger=Tagger(watchlist),
        gists=open_gists(),
        intake=IntakeRules(max_text=config.limits.text, lateness=config.detect.lateness),
        routes=tuple(_route(route) for route in config.route) or (_everything(config),),
        combine="entity×topic" in config.detect.combinations,
        exports=frozenset(config.export.topics if config.export else ()),
    )


def rules_of(config: Config) -> Rules:
    """Build the budget and the guards."""
    detect = config.detect
    return Rules(
        surges=detect.false_alarms,
        blinds=detect.blind_alarms,
        stories=detect.min_stories,
        publishers=detect.min_publishers,
        trusted_publishers=frozenset(detect.trusted_publishers),
        holidays=holidays_of(detect.calendar),
        # An archive ends, and a source that was taken out of the configuration is silent because we wished it so.
        awaited=frozenset(
            SourceId(source.id) for source in sources_of(config) if not isinstance(source, sections.ArchiveSource)
        ),
    )


def sources_of(config: Config) -> tuple[sections.AnySource, ...]:
    """Return the configured sources, and a push door where none is configured."""
    if any(isinstance(source, sections.PushSource) for source in config.source):
        return config.source
    return (*config.source, DOOR)


def targets_of(config: Config) -> tuple[sections.AnyTarget, ...]:
    """Return the configured targets, or the log where none is configured."""
    return config.target or (LOG,)


def _everything(config: Config) -> Route:
    return Route(targets=tuple(TargetId(target.id) for target in targets_of(config)))


def _route(section: sections.RouteSection) -> Route:
    match = section.match
    return Route(
        targets=tuple(TargetId(target) for target in section.targets),
        keys=match.keys,
        severity=frozenset(Severity(each) for each in match.severity),
        language=frozenset(Language(each) for each in match.language),
        kind=frozenset(IncidentKind(each) for each in match.kind),
    )


def authorization_of(section: sections.AlertmanagerTarget) -> str | None:
    """Return the header `Authorization` for a target. Raise ConfigurationError where a secret is not there."""
    where = f"target {section.id!r}"
    if section.bearer is not None:
        return bearer(reveal(section.bearer, f"{where}: bearer"))
    if section.username is not None and section.password is not None:
        return basic(section.username, reveal(section.password, f"{where}: password"))
    return None


def kafka(where: str) -> ModuleType:
    """Return `monitor.topics`, which needs an extra. Raise ConfigurationError where that is not installed."""
    try:
        from monitor import topics  # noqa: PLC0415 - only who names a cluster needs it
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{where}: Kafka needs {error.name}: install newsquake[kafka]") from error
    return topics


class Workshop:
    """Builds sources and targets, and holds what they share: the HTTP client and the feed parsers."""

    def __init__(self, config: Config, *, clock: Clock, random: Random, telemetry: Telemetry) -> None:
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._queue = config.limits.queue
        self._address = config.api.external_url
        self._metrics = config.metrics
        self._client = HttpClient(allow_private=config.http.allow_private)
        self._fetcher = Fetcher(self._client)
        self._parsers = ParserPool()

    def source(self, section: sections.AnySource) -> Source:
        """Build a source from its section."""
        id_ = SourceId(section.id)
        match section:
            case sections.FeedSource():
                return FeedSource(
                    id_,
                    section.url,
                    fetcher=self._fetcher,
                    parsers=self._parsers,
                    clock=self._clock,
                    random=self._random,
                    telemetry=self._telemetry,
                    rhythm=Rhythm(interval=section.interval),
                )
            case sections.PushSource():
                return PushSource(id_, limit=self._queue)
            case sections.ArchiveSource():
                return ArchiveSource(id_, section.path, fields=section.fields, clock=self._clock)
            case sections.KafkaSource():
                source: Source = kafka(f"source {section.id!r}").source_of(
                    section, clock=self._clock, random=self._random, telemetry=self._telemetry
                )
                return source

    def target(self, section: sections.AnyTarget) -> Target | AlertmanagerTarget:
        """Build a target from its section; its secret is read here, and nowhere kept in clear but there."""
        id_ = TargetId(section.id)
        match section:
            case sections.LogTarget():
                return LogTarget(id_)
            case sections.WebhookTarget():
                secret = reveal(section.secret, f"target {section.id!r}: secret") if section.secret else None
                return WebhookTarget(id_, section.url, secret=secret, client=self._client, clock=self._clock)
            case sections.AlertmanagerTarget():
                return AlertmanagerTarget(
                    id_,
                    (section.url, *section.peers),
                    labels=section.labels,
                    address=self._address,
                    authorization=authorization_of(section),
                    client=self._client,
                )
            case sections.KafkaTarget():
                target: Target = kafka(f"target {section.id!r}").target_of(section)
                return target

    def exporter(self, section: sections.ExportSection, store: ExportStore) -> Exporter:
        """Build what brings scored articles and dead letters to topics."""
        exporter: Exporter = kafka("export").exporter_of(
            section, store=store, clock=self._clock, random=self._random, telemetry=self._telemetry
        )
        return exporter

    def heartbeat(self, well: Callable[[], bool]) -> Heartbeat | None:
        """Build the sign of life, given while the daemon is well; None where none is configured."""
        if self._metrics.heartbeat_url is None:
            return None
        return Heartbeat(
            self._metrics.heartbeat_url,
            every=self._metrics.heartbeat_interval.total_seconds(),
            well=well,
            client=self._client,
            clock=self._clock,
            telemetry=self._telemetry,
        )

    async def close(self) -> None:
        """Let go of connections and parser processes."""
        await self._parsers.close()
        await self._client.close()
