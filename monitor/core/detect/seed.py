"""What an archive has taught, as the checkpoint that a new database begins with."""

from __future__ import annotations

from typing import Any, cast

from monitor.core.detect.state import State, dump
from monitor.types import Json

ARCHIVE = "source"  # the group of what is read: a daemon reads other sources than the archive


def seed(state: State) -> dict[str, Json]:
    """Return the checkpoint rows of a detector that knows what is normal as `state` does, and has told nothing.

    Seasons, clustering and rates go on from the archive's end, and are forgotten from there as always. What fired then
    is over, and which sources feed a key is learned anew.
    """
    rows = dump(state, state.names())
    kept = {name: row for name, row in rows.items() if not name.startswith((f"group:{ARCHIVE}", f"key:{ARCHIVE}:"))}
    return {
        name: _untold(cast("dict[str, Any]", row)) if name.startswith("key:") else row for name, row in kept.items()
    }


def _untold(row: dict[str, Any]) -> Json:
    return {**row, "firing": None, "fed": [], "blind": False}
