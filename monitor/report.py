"""The report of a replay: one JSON document, and a page that shows it with charts, without any file beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from monitor.core.codec import to_json
from monitor.core.keys import ALL, name_of
from monitor.core.known import Comparison, Told
from monitor.core.wording import ENGLISH, causes, words_for
from monitor.ports import Ledger
from monitor.types import Incident, Json, Key, Rollup

WIDTH, HEIGHT = 720, 90  # of a chart, in pixels
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
AROUND = timedelta(days=14)  # shown before and after an incident
NAMED = 50  # records that could not be read are named, the rest are counted

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 780px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin: 2.5rem 0 .2rem; font-size: 1.1rem; } .meta { color: #666; margin: 0 0 .6rem; } li { margin: .15rem 0; }
svg { width: 100%; height: auto; background: #fafafa; border: 1px solid #e4e4e4; }
table { border-collapse: collapse; margin: .6rem 0; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }
.low { color: #777; } .medium { color: #a66a00; } .high { color: #c2410c; } .critical { color: #b00020; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one budget told, in false incidents a week, from the first item to the last moment lived through.

    `comparison` is None where no events were given.
    """

    budget: float
    began: datetime
    ended: datetime
    incidents: tuple[Incident, ...]
    comparison: Comparison | None


def document(
    archive: str, runs: Sequence[Run], *, model: str, ledger: Ledger, unreadable: Sequence[str]
) -> dict[str, Json]:
    """Return the report as JSON: all of the first run, and the sums of each. When it is made makes no difference."""
    first = runs[0]
    told: dict[str, Json] = {
        "archive": archive,
        "began": first.began.isoformat(),
        "ended": first.ended.isoformat(),
        "false_alarms_per_week": first.budget,
        "model": model,
        "items": {
            "received": ledger.received,
            "stored": ledger.stored,
            "duplicate": ledger.duplicate,
            "dead": ledger.dead,
            "dropped": ledger.dropped,
        },
        "unreadable": list(unreadable[:NAMED]),
        "incidents": [to_json(incident) for incident in first.incidents],
        "sweep": [_sums(run) for run in sorted(runs, key=lambda run: run.budget)],
    }
    if first.comparison is not None:
        told["events"] = [_told(each, first) for each in first.comparison.told]
    return told


def _sums(run: Run) -> dict[str, Json]:
    sums: dict[str, Json] = {"false_alarms_per_week": run.budget, "incidents": len(run.incidents)}
    found = run.comparison
    if found is not None:
        sums |= {
            "events": len(found.told),
            "recall": found.recall,
            "told_by_the_busiest_day": found.in_time,
            "median_lead_hours": None if found.lead is None else found.lead / HOUR,
            "at_no_event": found.others,
            "at_no_event_per_month": found.others_a_month,
        }
    return sums


def _told(each: Told, run: Run) -> dict[str, Json]:
    incident = _incident_of(each, run)
    return {
        "id": each.event.id,
        "what": each.event.what,
        "busiest_day": f"{each.event.busiest - DAY:%Y-%m-%d}",
        "incident": None if incident is None else incident.id,
        "opened": None if incident is None else incident.opened.isoformat(),
        "lead_hours": None if each.lead is None else each.lead / HOUR,
    }


def _incident_of(each: Told, run: Run) -> Incident | None:
    return next((incident for incident in run.incidents if incident.id == each.alarm), None)


def summary(runs: Sequence[Run], ledger: Ledger) -> str:
    """Return what a terminal shows: what was read, and a line for each budget."""
    lines = [f"{ledger.received} items: {ledger.stored} new, {ledger.duplicate} known, {ledger.dead} unreadable"]
    table = _table(sorted(runs, key=lambda run: run.budget))
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(lines)


def _table(runs: Sequence[Run]) -> list[list[str]]:
    """Return the budgets and what each came to, with a header."""
    table = [["budget a week", "incidents"]]
    table += [[f"{run.budget:g}", str(len(run.incidents))] for run in runs]
    if any(run.comparison is not None for run in runs):
        table[0] += ["events told", "by the busiest day", "median lead", "at no event", "a month"]
    for row, run in zip(table[1:], runs, strict=True):
        found = run.comparison
        if found is not None:
            row += [f"{sum(each.alarm is not None for each in found.told)} of {len(found.told)}", str(found.in_time)]
            row += [_hours(found.lead), str(found.others), f"{found.others_a_month:.1f}"]
    return table


def _hours(lead: timedelta | None) -> str:
    return "-" if lead is None else f"{lead / HOUR:.0f} h"


# --- the page ---


def page(report: Mapping[str, Json], runs: Sequence[Run], days: Mapping[Key, Sequence[Rollup]]) -> str:
    """Return the report as a page: the first run with its charts, and a line for each.

    `days` holds the daily sums of `all` and of each incident's leading key, in order of time.
    """
    first, items = runs[0], report["items"]
    assert isinstance(items, dict)
    counts = "".join(f"<tr><td>{escape(name)}</td><td>{count}</td></tr>" for name, count in items.items())
    parts = "".join(_incident(incident, days.get(incident.keys[0], ())) for incident in first.incidents)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>newsquake replay</title><style>{STYLE}</style>
<h1>When would this have fired?</h1>
<p class="meta">{escape(str(report["archive"]))} · {first.began:%Y-%m-%d %H:%M} to {first.ended:%Y-%m-%d %H:%M} UTC ·
budget {first.budget:g} false incidents a week · model {escape(str(report["model"]))}</p>
{_overview(first, days.get(ALL, ()))}
<table>{counts}</table>{_unreadable(report)}
{_rows(_table(sorted(runs, key=lambda run: run.budget)))}
{_events(first)}
{parts}</html>
"""


def _rows(table: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table[1:])
    return f"<table><tr>{head}</tr>{body}</table>"


def _unreadable(report: Mapping[str, Json]) -> str:
    named, items = report["unreadable"], report["items"]
    assert isinstance(named, list)
    assert isinstance(items, dict)
    if not named:
        return ""
    lines = "".join(f"<li>{escape(str(each))}</li>" for each in named)
    return f"<details><summary>{items['dead']} records could not be read</summary><ul>{lines}</ul></details>"


def _events(run: Run) -> str:
    """Return a line for each known event: when it was told, and how long before the end of its busiest day."""
    if run.comparison is None:
        return ""
    table = [["event", "busiest day", "told", "lead"]]
    for each in run.comparison.told:
        incident = _incident_of(each, run)
        told = "not told" if incident is None else f"{incident.opened:%Y-%m-%d %H:%M} {name_of(incident.keys[0])}"
        name = f"{each.event.id}: {each.event.what}" if each.event.what else each.event.id
        table.append([name, f"{each.event.busiest - DAY:%Y-%m-%d}", told, _hours(each.lead)])
    note = "An incident at none of these events is not always false: the list may be short."
    return f'<h2>Known events</h2>{_rows(table)}<p class="meta">{note}</p>'


def _incident(incident: Incident, days: Sequence[Rollup]) -> str:
    headlines = "".join(
        f"<li>{escape(each.title)} <span class=meta>({escape(each.publisher)}, {each.published:%Y-%m-%d %H:%M})</span>"
        for each in incident.evidence
    )
    until = f"{incident.resolved:%Y-%m-%d %H:%M}" if incident.resolved else "still open"
    keys = ", ".join(escape(key) for key in incident.keys)
    return f"""<h2 id="{incident.id}"><span class="{incident.severity}">{incident.severity}</span>
{escape(name_of(incident.keys[0]))}</h2>
<p class="meta">{incident.kind} · {incident.opened:%Y-%m-%d %H:%M} UTC to {until} · {incident.observed:.1f} negative
where
{incident.expected:.1f} is normal · {incident.stories} stories, {incident.publishers} publishers · {keys}</p>
{_causes(incident)}{_around(incident, days)}<ul>{headlines}</ul>"""


def _causes(incident: Incident) -> str:
    if incident.explanation is None:
        return ""
    return f"<p>{escape(causes(incident.explanation, words_for(ENGLISH)))}</p>"


def _overview(run: Run, days: Sequence[Rollup]) -> str:
    """Draw negative stories a day over the whole archive; days with an open incident are marked."""
    spans = [(incident.opened, incident.resolved or run.ended) for incident in run.incidents]
    return _chart(days, run.began, run.ended, spans)


def _around(incident: Incident, days: Sequence[Rollup]) -> str:
    """Draw negative stories a day around an incident; the days it was open are marked."""
    span = incident.opened, incident.resolved or incident.opened
    return _chart(days, span[0] - AROUND, span[1] + AROUND, [span])


def _chart(days: Sequence[Rollup], first: datetime, last: datetime, marked: Sequence[tuple[datetime, datetime]]) -> str:
    shown = [day for day in days if first - DAY < day.bucket <= last]
    if not shown:
        return ""
    width = WIDTH / max((last - first) / DAY, 1.0)
    highest = max(day.weight for day in shown) or 1.0
    bars = "".join(
        _bar(
            day,
            max((day.bucket - first) / DAY, 0.0) * width,
            width,
            highest,
            marked=any(day.bucket + DAY > opened and day.bucket <= resolved for opened, resolved in marked),
        )
        for day in shown
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>negative stories a day</title>{bars}</svg>'


def _bar(day: Rollup, x: float, width: float, highest: float, *, marked: bool) -> str:
    height = day.weight / highest * (HEIGHT - 6)
    return (
        f'<rect x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{max(width - 1, 0.5):.1f}" height="{height:.1f}" '
        f'fill="{"#c2410c" if marked else "#9ab"}"><title>{day.bucket:%Y-%m-%d}: {day.weight:.1f}</title></rect>'
    )
