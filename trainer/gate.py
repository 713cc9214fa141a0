"""Whether a model may take the place of the one that serves.

It is refused where, beside the serving model,

- it lacks a head, or a label of one;
- on the gate set it is significantly worse (McNemar's exact test, one-sided, 5 %), or its accuracy or macro F1 is lower
  by more than a margin that no set can excuse;
- on the recent archive it raises more surges that the serving model does not than the false-alarm budget explains: more
  than the upper 95 % end of what a Poisson process at the budget brings in that time.

What both models raise is news; at worst, what the new one raises alone is false. So the budget is asked about these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from scipy.stats import poisson

from monitor.core.manifest import Head
from monitor.types import Incident
from trainer.compare import Comparison

SET = Path(__file__).resolve().parent / "gate.jsonl"  # invented headlines, written for the project
MARGIN = 0.02  # of accuracy and of macro F1
LEVEL = 0.05  # of the tests
NEAR = timedelta(days=1)  # two incidents of one key that lie so near are about the same
WEEK = timedelta(weeks=1)


def lacking(serving: Mapping[str, Head], candidate: Mapping[str, Head]) -> list[str]:
    """Return what the candidate cannot answer and the serving model can, in words."""
    found = []
    for name, head in serving.items():
        if name not in candidate:
            found.append(f"it has no head {name}, which the serving model has")
        elif missing := [label for label in head.labels if label not in candidate[name].labels]:
            found.append(f"its head {name} lacks {', '.join(missing)}")
    return found


def worse(compared: Mapping[str, Comparison], margin: float = MARGIN) -> list[str]:
    """Return in which heads the second model is worse than the first, in words."""
    found = []
    for head, each in compared.items():
        if each.chance_of_loss < LEVEL:
            found.append(
                f"{head} is significantly worse: {each.only_first} of {each.rows} rows it alone gets wrong, "
                f"{each.only_second} it alone gets right (p = {each.chance_of_loss:.2g})"
            )
        for name, pair in (("accuracy", each.accuracy), ("macro F1", each.macro_f1)):
            if pair.difference < -margin:
                found.append(f"{name} of {head} is {pair.second:.3f}, the serving model's is {pair.first:.3f}")
    return found


def alone(serving: Sequence[Incident], candidate: Sequence[Incident]) -> list[Incident]:
    """Return the candidate's surges that no surge of the serving model answers: of a shared key, about that time."""
    return [each for each in candidate if not any(_alike(each, known) for known in serving)]


def _alike(one: Incident, other: Incident) -> bool:
    starts, ends = max(one.opened, other.opened), min(one.resolved or one.updated, other.resolved or other.updated)
    return bool(set(one.keys) & set(other.keys)) and starts - ends <= NEAR


def allowance(budget: float, span: timedelta) -> int:
    """Return how many false surges in `span` a budget (per week) still explains: the upper 95 % end of its Poisson."""
    return int(poisson.ppf(1 - LEVEL, budget * (span / WEEK)))


def too_loud(added: Sequence[Incident], budget: float, span: timedelta) -> list[str]:
    """Return, in words, whether surges that one model alone raises in `span` would break the budget (per week)."""
    most = allowance(budget, span)
    if len(added) <= most:
        return []
    days = span / timedelta(days=1)
    why = f"in {days:.1f} days of the archive it raises {len(added)} surges that the serving model does not"
    return [f"{why}; the budget ({budget:g} a week) explains at most {most}"]
