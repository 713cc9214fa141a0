"""What a rolling z-score would have told of an archive: mean + k·sd of each key's negative stories a day, or an hour.

It is given all that the needle is given: stories counted once, no alarm below three negative stories, alarms of one
happening merged. An alarm comes at the end of its step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from monitor.core.known import Alarm
from monitor.types import Key

LEAST = 3  # negative stories
PAST = timedelta(days=28)  # of which mean and deviation are taken
YOUNG = timedelta(days=7)  # of past without which nothing is said
HEADLINES = 10


@dataclass(frozen=True, slots=True)
class Story:
    """One negative story, counted once for its key."""

    id: str
    published: datetime
    title: str
    negative: float


@dataclass(frozen=True, slots=True)
class Peak:
    """A key's step with at least three negative stories, and how many deviations above its past mean it lies."""

    key: Key
    step: int
    z: float
    stories: tuple[Story, ...]


def peaks(stories: Mapping[Key, Sequence[Story]], began: datetime, ended: datetime, step: timedelta) -> list[Peak]:
    """Return every step of every key that may alarm. The deviation is never taken for less than one story's."""
    size, past, young = int((ended - began) / step) + 1, round(PAST / step), round(YOUNG / step)
    found: list[Peak] = []
    for key, own in stories.items():
        by_step: dict[int, list[Story]] = defaultdict(list)
        for story in own:
            by_step[int((story.published - began) / step)].append(story)
        counts = np.bincount([place for place in by_step for _ in by_step[place]], minlength=size).astype(float)
        sums = np.concatenate([[0.0], np.cumsum(counts)])
        squares = np.concatenate([[0.0], np.cumsum(counts**2)])
        for place, here in sorted(by_step.items()):
            first = max(0, place - past)
            steps = place - first
            if len(here) < LEAST or steps < young:
                continue
            mean = (sums[place] - sums[first]) / steps
            deviation = max((squares[place] - squares[first]) / steps - mean**2, 0.0) ** 0.5
            z = (len(here) - mean) / max(deviation, 1.0 / steps**0.5)
            if z > 0:
                found.append(Peak(key, place, float(z), tuple(here)))
    return found


def alarms(found: Sequence[Peak], k: float, began: datetime, step: timedelta) -> list[Alarm]:
    """Return what is told at mean + k·sd: peaks of one key in steps that follow each other, and peaks that share a
    story, are one alarm, which opens at the end of its first step."""
    above = sorted((peak for peak in found if peak.z >= k), key=lambda peak: (peak.step, peak.key))
    groups: list[list[Peak]] = []
    by_key: dict[tuple[Key, int], int] = {}
    by_story: dict[str, int] = {}
    for peak in above:
        joined = [by_key.get((peak.key, peak.step - 1)), *(by_story.get(story.id) for story in peak.stories)]
        place = next((each for each in joined if each is not None), len(groups))
        if place == len(groups):
            groups.append([])
        groups[place].append(peak)
        by_key[peak.key, peak.step] = place
        by_story.update((story.id, place) for story in peak.stories)
    return [_alarm(group, number, began, step) for number, group in enumerate(groups)]


def _alarm(group: Sequence[Peak], number: int, began: datetime, step: timedelta) -> Alarm:
    stories = {story.id: story for peak in group for story in peak.stories}
    worst = sorted(stories.values(), key=lambda story: (-story.negative, story.id))[:HEADLINES]
    opened = began + (min(peak.step for peak in group) + 1) * step
    return Alarm(id=f"{number}", opened=opened, headlines=tuple(story.title for story in worst))


def as_many(found: Sequence[Peak], wanted: int, began: datetime, step: timedelta) -> tuple[float, list[Alarm]]:
    """Return the largest k that tells at least as many alarms as wanted, or the smallest there is, and its alarms."""
    levels = sorted({peak.z for peak in found}, reverse=True)
    if not levels:
        return 0.0, []
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if len(alarms(found, levels[middle], began, step)) >= wanted:
            high = middle
        else:
            low = middle + 1
    return levels[low], alarms(found, levels[low], began, step)
