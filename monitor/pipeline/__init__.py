"""The way of an item: three steps (`steps.py`), and what composes them in one process (`running.py`)."""

from monitor.pipeline.gathering import Gathering
from monitor.pipeline.running import Pipeline
from monitor.pipeline.steps import (
    UNIT,
    Collected,
    Desk,
    Judged,
    Known,
    Needle,
    Read,
    Scored,
    Tick,
    collect_step,
    judged,
    look_at,
    score_step,
    tick_step,
    watch_step,
)

__all__ = [
    "UNIT",
    "Collected",
    "Desk",
    "Gathering",
    "Judged",
    "Known",
    "Needle",
    "Pipeline",
    "Read",
    "Scored",
    "Tick",
    "collect_step",
    "judged",
    "look_at",
    "score_step",
    "tick_step",
    "watch_step",
]
