"""What the daemon says of itself: the metrics (docs/metrics.md) and the log.

Metrics live in a registry of their own, handed to whoever counts, so that two daemons in one process do not mix.
Labels come from configuration and from fixed sets of words only, never from feed text.
"""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """The daemon's metrics. Each stage counts what ended there, and how."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.items = Counter(
            "newsquake_items", "Items that ended at a stage, by outcome.", ("stage", "outcome"), registry=registry
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
        self.deliveries = Counter(
            "newsquake_deliveries",
            "Attempts to deliver a message, by outcome.",
            ("target", "outcome"),
            registry=registry,
        )


def configure_log(level: str = "info", *, json: bool = False) -> None:
    """Send the log to standard error: lines for people, or JSON for machines. Called once, by the command line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
