"""The report of a replay: one JSON document, and a page that shows it with charts, without any file beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape

from monitor.core.codec import to_json
from monitor.core.keys import name_of
from monitor.core.wording import ENGLISH, causes, words_for
from monitor.ports import Ledger
from monitor.types import Incident, Json, Key, Rollup

WIDTH, HEIGHT = 720, 90  # of a chart, in pixels
AROUND = timedelta(days=14)  # shown before and after an incident

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 780px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin: 2.5rem 0 .2rem; font-size: 1.1rem; } .meta { color: #666; margin: 0 0 .6rem; } li { margin: .15rem 0; }
svg { width: 100%; height: auto; background: #fafafa; border: 1px solid #e4e4e4; } table { border-collapse: collapse; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; font-variant-numeric: tabular-nums; }
.low { color: #777; } .medium { color: #a66a00; } .high { color: #c2410c; } .critical { color: #b00020; }
"""


def document(
    *,
    archive: str,
    began: datetime,
    ended: datetime,
    budget: float,
    model: str,
    ledger: Ledger,
    incidents: Sequence[Incident],
) -> dict[str, Json]:
    """Return the report as JSON; `budget` is in false incidents a week."""
    return {
        "archive": archive,
        "began": began.isoformat(),
        "ended": ended.isoformat(),
        "false_alarms_per_week": budget,
        "model": model,
        "items": {
            "received": ledger.received,
            "stored": ledger.stored,
            "duplicate": ledger.duplicate,
            "dead": ledger.dead,
            "dropped": ledger.dropped,
        },
        "incidents": [to_json(incident) for incident in incidents],
    }


def page(report: Mapping[str, Json], incidents: Sequence[Incident], days: Mapping[Key, Sequence[Rollup]]) -> str:
    """Return the report as a page; `days` holds the daily sums of each leading key, in order of time."""
    items = report["items"]
    assert isinstance(items, dict)
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{count}</td></tr>" for name, count in items.items())
    parts = "".join(_incident(incident, days.get(incident.keys[0], ())) for incident in incidents)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>newsquake replay</title><style>{STYLE}</style>
<h1>When would this have fired?</h1>
<p class="meta">{escape(str(report["archive"]))} · {escape(str(report["began"]))} to {escape(str(report["ended"]))} ·
budget {report["false_alarms_per_week"]:g} false incidents a week · model {escape(str(report["model"]))}</p>
<table>{rows}<tr><th>incidents</th><th>{len(incidents)}</th></tr></table>
{parts}</html>
"""


def _incident(incident: Incident, days: Sequence[Rollup]) -> str:
    headlines = "".join(
        f"<li>{escape(each.title)} <span class=meta>({escape(each.publisher)}, {each.published:%Y-%m-%d %H:%M})</span>"
        for each in incident.evidence
    )
    until = f"{incident.resolved:%Y-%m-%d %H:%M}" if incident.resolved else "still open"
    keys = ", ".join(escape(key) for key in incident.keys)
    return f"""<h2><span class="{incident.severity}">{incident.severity}</span> {escape(name_of(incident.keys[0]))}</h2>
<p class="meta">{incident.kind} · {incident.opened:%Y-%m-%d %H:%M} UTC to {until} · {incident.observed:.1f} negative
where
{incident.expected:.1f} is normal · {incident.stories} stories, {incident.publishers} publishers · {keys}</p>
{_causes(incident)}{_chart(incident, days)}<ul>{headlines}</ul>"""


def _causes(incident: Incident) -> str:
    if incident.explanation is None:
        return ""
    return f"<p>{escape(causes(incident.explanation, words_for(ENGLISH)))}</p>"


def _chart(incident: Incident, days: Sequence[Rollup]) -> str:
    """Draw negative stories a day around an incident; the days it was open are marked."""
    first, last = incident.opened - AROUND, (incident.resolved or incident.opened) + AROUND
    shown = [day for day in days if first <= day.bucket <= last]
    if not shown:
        return ""
    span = (last - first) / timedelta(days=1)
    highest = max(day.weight for day in shown) or 1.0
    bars = "".join(
        _bar(day, (day.bucket - first) / timedelta(days=1) / span * WIDTH, WIDTH / span, highest, incident)
        for day in shown
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>negative stories a day</title>{bars}</svg>'


def _bar(day: Rollup, x: float, width: float, highest: float, incident: Incident) -> str:
    height = day.weight / highest * (HEIGHT - 6)
    surging = day.bucket + timedelta(days=1) > incident.opened and day.bucket <= (incident.resolved or incident.opened)
    colour = "#c2410c" if surging else "#9ab"
    return (
        f'<rect x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{max(width - 1, 0.5):.1f}" height="{height:.1f}" '
        f'fill="{colour}"><title>{day.bucket:%Y-%m-%d}: {day.weight:.1f}</title></rect>'
    )
