"""What the page is shown of the incidents, whoever wrote last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from monitor.core.incidents import Folded, acknowledge
from monitor.panel import Panel
from monitor.types import Acknowledgement, Incident, IncidentState
from tests.core.telling import incident
from tests.samples import MINUTE, T0

OPEN = incident("entity:acme")
ACKNOWLEDGED = acknowledge(OPEN, Acknowledgement(at=T0 + MINUTE, by="Li Wei"))


def shown(*commits: Incident) -> Sequence[Incident]:
    """Return what is shown as open after the panel heard of these, in this order."""
    nothing: Any = SimpleNamespace()
    names = ("pipeline", "scorer", "clock", "telemetry", "sources", "targets", "refused")
    panel = Panel(**dict.fromkeys(names, nothing), open_incidents=[OPEN])
    for each in commits:
        panel.took(Folded(incidents=(each,), changes=()))
    return list(panel._open.values())


def test_what_was_committed_first_and_heard_of_last_is_not_shown_any_more() -> None:
    raised = replace(ACKNOWLEDGED, revision=3)
    assert shown(raised, ACKNOWLEDGED) == [raised]
    assert shown(ACKNOWLEDGED, raised) == [raised]


def test_what_is_resolved_is_shown_no_more() -> None:
    assert shown(ACKNOWLEDGED, replace(ACKNOWLEDGED, state=IncidentState.RESOLVED, revision=3)) == []
