"""The way of an item: three steps (`steps.py`), and what composes them in one process (`running.py`)."""

from monitor.pipeline.running import Pipeline
from monitor.pipeline.steps import (
    UNIT,
    Collected,
    Desk,
    Judged,
    Known,
    Needle,
    Scored,
    Tick,
    collect_step,
    judged,
    score_step,
    tick_step,
    watch_step,
)

__all__ = [
    "UNIT",
    "Collected",
    "Desk",
    "Judged",
    "Known",
    "Needle",
    "Pipeline",
    "Scored",
    "Tick",
    "collect_step",
    "judged",
    "score_step",
    "tick_step",
    "watch_step",
]
