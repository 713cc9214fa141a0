"""What the daemon says of itself: the metrics (docs/metrics.md) and the log.

Metrics live in a registry of their own, handed to whoever counts, so that two daemons in one process do not mix.
Labels come from configuration and from fixed sets of words only, never from feed text. What changes with every commit
(keys, incidents, sources) is read from the daemon's live state when somebody asks, so it is never stale.
"""

from __future__ import annotations

import logging
import platform
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.reading import KeyLevel, Live
from monitor.types import IncidentKind, Key, Outcome, Severity, SourceId, TargetId

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)
MAX_KEYS = 500
DELIVERIES = ("sent", "retry", "rejected", "expired")


class Telemetry:
    """The daemon's metrics. Each stage counts what ended there, and how."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("newsquake_build", "The program that runs; always 1.", registry=registry).info(
            {"version": installed_version(), "python": platform.python_version()}
        )
        self.items = Counter(
            "newsquake_items", "Items that passed a stage, by outcome.", ("stage", "outcome"), registry=registry
        )
        self.source_items = Counter(
            "newsquake_source_items",
            "Items of a source that were settled by a commit, by outcome.",
            ("source", "outcome"),
            registry=registry,
        )
        self.source_polls = Counter(
            "newsquake_source_polls", "Attempts to read a source, by outcome.", ("source", "outcome"), registry=registry
        )
        self.source_success = Gauge(
            "newsquake_source_last_success_timestamp_seconds",
            "When a source was last read successfully.",
            ("source",),
            registry=registry,
        )
        self.source_lag = Histogram(
            "newsquake_source_lag_seconds",
            "Time from an item's hand-over by its source to the commit that settled it.",
            ("source",),
            buckets=LONG_SECONDS,
            registry=registry,
        )
        self.kafka_position = Gauge(
            "newsquake_kafka_position",
            "The offset after the last record of a partition that a commit settled.",
            ("source", "partition"),
            registry=registry,
        )
        self.kafka_lag = Gauge(
            "newsquake_kafka_lag",
            "Records of a partition that no commit has settled yet.",
            ("source", "partition"),
            registry=registry,
        )
        self.queue_items = Gauge(
            "newsquake_queue_items", "Items waiting before a stage.", ("stage",), registry=registry
        )
        self.stage_seconds = Histogram(
            "newsquake_stage_duration_seconds",
            "Time one batch spends in a stage.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self.model_reload_successful = Gauge(
            "newsquake_model_reload_successful", "1 if the last attempt to load a model succeeded.", registry=registry
        )
        self.model_info = Gauge(
            "newsquake_model_info", "The model that serves; always 1.", ("model",), registry=registry
        )
        self.models = Gauge(
            "newsquake_models", "Models that were ever staged or served, by state.", ("state",), registry=registry
        )
        self.model_rescoring = Gauge(
            "newsquake_model_rescoring_articles",
            "Stored articles of the recent past, as the model that last judged them anew fared with them.",
            ("outcome",),
            registry=registry,
        )
        self.config_reload_successful = Gauge(
            "newsquake_config_reload_successful",
            "1 if the last attempt to load the configuration succeeded.",
            registry=registry,
        )
        for reloaded in (self.model_reload_successful, self.config_reload_successful):
            reloaded.set(1)  # until an attempt fails: what the daemon starts with was loaded
        self.deliveries = Counter(
            "newsquake_deliveries",
            "Attempts to deliver a message, by outcome.",
            ("target", "outcome"),
            registry=registry,
        )
        self.store_refusals = Counter(
            "newsquake_store_refusals",
            "Times that the database refused to be read or written, by the part of the daemon that then waited.",
            ("part",),
            registry=registry,
        )
        self.reconciliations = Counter(
            "newsquake_reconciliations",
            "Rounds in which a target was shown all that stands, by outcome.",
            ("target", "outcome"),
            registry=registry,
        )
        self.heartbeats = Counter(
            "newsquake_heartbeats", "Signs of life that were due, by outcome.", ("outcome",), registry=registry
        )
        self.canary_seconds = Histogram(
            "newsquake_canary_seconds",
            "Time from planting canaries to the commit that counted them.",
            buckets=LONG_SECONDS,
            registry=registry,
        )
        self.canary_missed = Counter(
            "newsquake_canary_missed",
            "Canaries that were not counted as negative news in time.",
            registry=registry,
        )
        self.exports = Counter(
            "newsquake_exports",
            "Records that were to be written to topics outside, by outcome.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.http_requests = Counter(
            "newsquake_http_requests",
            "Requests to the API, by route and status code.",
            ("method", "route", "code"),
            registry=registry,
        )
        self.http_seconds = Histogram(
            "newsquake_http_request_duration_seconds",
            "Time to answer a request to the API.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )

    def expect_source(self, source: SourceId) -> None:
        """Begin to count for a source at nought: a first dead letter is a rise only where there was a nought before."""
        for outcome in Outcome:
            self.source_items.labels(source, outcome.value)

    def expect_target(self, target: TargetId) -> None:
        """Begin to count for a target at nought."""
        for outcome in DELIVERIES:
            self.deliveries.labels(target, outcome)

    def watch(self, live: Callable[[], Live], *, max_keys: int = MAX_KEYS) -> None:
        """Let every reading of the metrics show the live state too, of at most `max_keys` keys. Called once."""
        self.registry.register(LiveCollector(live, max_keys))


class LiveCollector(Collector):
    """Gauges made from the live state at the moment they are read.

    Where more keys are watched than `max_keys`, those with an open incident come first, then those that surge or are
    blind; `newsquake_keys` counts them all.
    """

    def __init__(self, live: Callable[[], Live], max_keys: int) -> None:
        self._live = live
        self._max_keys = max_keys

    def collect(self) -> Iterator[GaugeMetricFamily]:
        live = self._live()
        yield from _key_gauges(_foremost(live, self._max_keys))
        yield _state_gauge(live.keys)
        yield _incident_gauge(live)
        yield _source_gauge(live)
        yield _target_gauge(live)
        yield GaugeMetricFamily(
            "newsquake_store_failing",
            "1 while the database refuses to be read or written.",
            value=live.trouble is not None,
        )
        ticked = GaugeMetricFamily("newsquake_detector_last_tick_timestamp_seconds", "The last tick that was decided.")
        if live.ticked is not None:
            ticked.add_metric((), live.ticked.timestamp())
        yield ticked

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the gauges without asking for the live state, which may not be there yet."""
        nothing = Live(model=None, ticked=None, keys=(), incidents=(), sources=())
        yield from LiveCollector(lambda: nothing, 0).collect()


def _foremost(live: Live, limit: int) -> list[KeyLevel]:
    open_keys = {key for incident in live.incidents for key in incident.active}

    def order(level: KeyLevel) -> tuple[bool, bool, Key]:
        return level.key not in open_keys, not (level.surging or level.blind), level.key

    return sorted(live.keys, key=order)[:limit]


def _key_gauges(levels: Sequence[KeyLevel]) -> Iterator[GaugeMetricFamily]:
    labels = ("key", "window")
    stories = GaugeMetricFamily("newsquake_key_stories", "Stories about a key in a window.", labels=labels)
    negative = GaugeMetricFamily(
        "newsquake_key_negative_stories", "Negative stories about a key in a window, calibrated.", labels=labels
    )
    expected = GaugeMetricFamily(
        "newsquake_key_expected_negative_stories",
        "Negative stories that are normal for a key in a window.",
        labels=labels,
    )
    surging = GaugeMetricFamily("newsquake_key_surging", "1 while a key surges.", labels=("key",))
    blind = GaugeMetricFamily("newsquake_key_blind", "1 while the sources that feed a key are silent.", labels=("key",))
    learning = GaugeMetricFamily(
        "newsquake_key_learning", "1 while a key has too little history to be sure of.", labels=("key",)
    )
    for level in levels:
        for window in level.windows:
            values = (level.key, window_label(window.window))
            stories.add_metric(values, window.stories)
            negative.add_metric(values, window.negative)
            expected.add_metric(values, window.expected)
        surging.add_metric((level.key,), level.surging)
        blind.add_metric((level.key,), level.blind)
        learning.add_metric((level.key,), level.learning_since is not None)
    yield from (stories, negative, expected, surging, blind, learning)


def _state_gauge(levels: Sequence[KeyLevel]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("newsquake_keys", "Keys that are watched, by state.", labels=("state",))
    tally = Tally(state_of(level) for level in levels)
    for state in ("surge", "blind", "learning", "calm"):
        family.add_metric((state,), tally[state])
    return family


def _incident_gauge(live: Live) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "newsquake_incidents_open", "Incidents that are not resolved.", labels=("kind", "severity")
    )
    tally = Tally((incident.kind, incident.severity) for incident in live.incidents)
    for kind in IncidentKind:
        for severity in Severity:
            family.add_metric((kind, severity), tally[kind, severity])
    return family


def _source_gauge(live: Live) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "newsquake_source_failing", "1 while something keeps a source from being read.", labels=("source",)
    )
    for source in live.sources:
        family.add_metric((source.id,), source.error is not None)
    return family


def _target_gauge(live: Live) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "newsquake_target_undelivered_messages",
        "Messages that were tried in vain and are tried again.",
        labels=("target",),
    )
    for target in live.targets:
        family.add_metric((target.id,), target.undelivered)
    return family


def state_of(level: KeyLevel) -> str:
    """Return the one word for where a key stands: `surge` before `blind` before `learning` before `calm`."""
    if level.surging:
        return "surge"
    if level.blind:
        return "blind"
    return "learning" if level.learning_since is not None else "calm"


def window_label(window: timedelta) -> str:
    """Return a window's length as a short word: `15m`, `1h`, `24h`."""
    minutes = round(window.total_seconds() / 60)
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"


def installed_version() -> str:
    """Return the version of newsquake that is installed, or `unknown` where it runs from bare files."""
    try:
        return version("newsquake")
    except PackageNotFoundError:
        return "unknown"


class Lossy:
    """A stream whose lines are lost where they cannot be written: a full disk must not stop whoever says that it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure_log(level: str = "info", *, json: bool = False) -> None:
    """Send the log to standard error: lines for people, or JSON for machines. Called again, it takes over.

    Tracebacks show no values of variables, which may be secrets.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
