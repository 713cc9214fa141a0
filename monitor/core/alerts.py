"""How an incident stands at an Alertmanager: one alert for each severity it was told with, of which the last is active.

Alertmanager knows an alert by its labels, takes it as active until `endsAt`, and tells nobody of one that it first
hears of ended. So:

- The labels of an alert never change: alertname, kind, leading key, incident and the severity it was told with. The
  incident's id is one of them, for two incidents may be led by the same key, one just ended or both open; without it
  they would be one alert that ends and begins as the posts come.
- A rise of the severity ends the alert of the lower one where that of the higher begins.
- An active alert ends an hour from now, so that it outlasts an hour without us, and no longer.
- An ended one is shown until AFTERGLOW after the message that told of its end was accepted, and not before its receiver
  can have been told that it began: SHOWN after the beginning was accepted.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from monitor.core.message import TITLE, lines_of
from monitor.core.wording import ENGLISH, causes, number, plain, span, words_for
from monitor.ports import Case, Notice
from monitor.types import Change, Incident, IncidentKind, Json, Severity

LASTING = timedelta(hours=1)  # what is active ends so long from now, unless it is shown again
AFTERGLOW = timedelta(minutes=15)  # what has ended is shown so much longer, as Prometheus does
SHOWN = timedelta(minutes=5)  # what is over already is active for so long: Alertmanager's usual waits lie within it
NAMES = {IncidentKind.SURGE: "NewsquakeSurge", IncidentKind.BLIND: "NewsquakeBlind"}
OWN_LABELS = frozenset({"alertname", "kind", "key", "incident", "severity"})
# `<!channel>` and `<https://…|our bank>` mean something to Slack, and tags do to mail: no headline may.
HARMLESS = str.maketrans("<>", "‹›")


def alerts_of(case: Case, now: datetime, *, labels: Mapping[str, str], address: str | None) -> tuple[Json, ...]:
    """Return the alerts that an incident comes to, the one of the lowest severity first; none where all is long over.

    labels   further labels of every alert, the same each time
    address  under which people reach newsquake, for links; None gives no links
    """
    incident = case.incident
    return tuple(
        {
            "labels": {
                **labels,
                "alertname": NAMES[incident.kind],
                "kind": incident.kind.value,
                "key": incident.keys[0],
                "incident": incident.id,
                "severity": severity.value,
            },
            "annotations": _annotations(incident, change, address),
            "startsAt": begins.isoformat(),
            "endsAt": ends.isoformat(),
            **({} if address is None else {"generatorURL": page_of(incident, address)}),
        }
        for severity, change, begins, ends in _spans(case, now)
    )


def page_of(incident: Incident, address: str) -> str:
    """Return the page's address, with the incident for its fragment."""
    return f"{address.rstrip('/')}/#incident={incident.id}"


def _spans(case: Case, now: datetime) -> Iterator[tuple[Severity, Change, datetime, datetime]]:
    """Yield severity, last change, beginning and end of each alert that is to be shown."""
    steps = sorted((each for each in case.notices if each.change is not Change.RESOLVED), key=_rank)
    begins = case.incident.opened
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if following is not None:
            ends = max(following.created, begins)
            if _glows(following, now):
                yield step.severity, step.change, begins, ends
            begins = ends
        elif case.incident.resolved is None:
            yield step.severity, step.change, begins, now + LASTING
        elif _glows(case.notices[-1], now):
            yield step.severity, Change.RESOLVED, begins, max(case.incident.resolved, (step.ended or now) + SHOWN)


def _glows(last: Notice, now: datetime) -> bool:
    """Tell whether an end is still to be shown that this message tells of."""
    return last.ended is None or now - last.ended < AFTERGLOW


def _rank(notice: Notice) -> int:
    return notice.severity.rank


def _annotations(incident: Incident, change: Change, address: str | None) -> dict[str, Json]:
    """Return what people read of an alert: at most some 15,000 characters, in the leading headline's language."""
    summary, *rest = (line.translate(HARMLESS) for line in lines_of(incident, change))
    words = words_for(ENGLISH)
    more: dict[str, Json] = {} if address is None else {"link": page_of(incident, address)}
    if incident.explanation is not None:
        more["causes"] = causes(incident.explanation, words).translate(HARMLESS)
    if incident.evidence:
        more["headline"] = plain(incident.evidence[0].title, TITLE).translate(HARMLESS)
    return {
        "summary": summary,
        "description": "\n".join(rest),
        "observed": number(incident.observed, words),
        "expected": number(incident.expected, words),
        "window": span(incident.window, words),
        **more,
    }
