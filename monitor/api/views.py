"""What the store and the detector know, as the API shows it: values in, shapes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor import types
from monitor.api import models
from monitor.api.services import Assessment, NormalOf
from monitor.core.explain import percents
from monitor.core.keys import group_of, name_of, source_key
from monitor.ports import Judgement, Ledger
from monitor.reading import Dispatch, KeyLevel, Live, StoredArticle
from monitor.telemetry import state_of, window_label
from monitor.types import Key, Language, ModelId, Position, Rollup, SourceId, Timeliness

RANKS = ("surge", "blind", "learning", "calm", "unwatched")  # of keys, in the order by mood
FEW = 3.0  # stories, of no mood, that a key's own are weighed against there


def summary(row: StoredArticle) -> models.ArticleSummary:
    """Return a row of a page of articles."""
    return models.ArticleSummary(**_article_fields(row))


def detail(row: StoredArticle, judgements: Iterable[Judgement]) -> models.ArticleDetail:
    """Return an article in full."""
    shown = [
        models.Judgement(
            key=each.key,
            model=each.model,
            entity=each.entity,
            label=each.sentiment.label,
            negative=each.sentiment.negative,
            neutral=each.sentiment.neutral,
            positive=each.sentiment.positive,
            story=each.story,
            leads=each.leads,
            scored=each.scored,
        )
        for each in judgements
    ]
    return models.ArticleDetail(**_article_fields(row), text=row.text, judgements=shown)


def _article_fields(row: StoredArticle) -> dict[str, Any]:
    fields = asdict(row)
    return fields | {"excerpt": fields.pop("text")[: models.EXCERPT]}


def incident(value: types.Incident) -> models.Incident:
    """Return an incident."""
    return models.Incident(**_incident_fields(value))


def incident_detail(
    value: types.Incident, dispatches: Iterable[Dispatch], verdicts: Iterable[types.Verdict]
) -> models.IncidentDetail:
    """Return an incident, who was told of it, and what the desk says of it."""
    return models.IncidentDetail(
        **_incident_fields(value),
        deliveries=[models.Dispatch(**asdict(each)) for each in dispatches],
        verdicts=[verdict(each) for each in verdicts],
    )


def verdict(value: types.Verdict) -> models.Verdict:
    """Return what the desk says."""
    return models.Verdict(**asdict(value), verdict=value.ruling)


def _incident_fields(value: types.Incident) -> dict[str, Any]:
    fields = asdict(value)
    return fields | {
        "keys": list(value.keys),
        "active": sorted(value.active),
        "window_seconds": value.window.total_seconds(),
        "chance_per_hour": value.chance,
        "evidence": [models.Evidence(**asdict(each)) for each in value.evidence],
        "explanation": _explanation(value.explanation) if value.explanation else None,
    }


def _explanation(value: types.Explanation) -> models.Explanation:
    whole = {cause.value: share for cause, share in percents(value).items()}
    return models.Explanation(**asdict(value), percent=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A key, where its needle stands, and what the model that is shown counted of it in a day."""

    key: Key
    level: KeyLevel | None
    told: Sequence[Rollup]

    @property
    def state(self) -> str:
        """As the API calls it."""
        return "unwatched" if self.level is None else state_of(self.level)

    @property
    def place(self) -> tuple[int, float, Key]:
        """Where it stands in the order by mood: what needs a look, then the most negative.

        The mean mood is drawn to 0 where it rests on few stories, so that a single bad one outranks nobody's bad day.
        """
        stories = _count(self.told)
        mood = sum(each.sum_positive - each.sum_negative for each in self.told) / (stories + FEW)
        return RANKS.index(self.state), round(mood, 6), self.key


def standings(live: Live, day: Sequence[Rollup]) -> list[Standing]:
    """Return every key that is watched or has stories in `day`, in alphabetical order."""
    levels = {level.key: level for level in live.keys}
    sums: dict[Key, list[Rollup]] = {}
    for rollup in day:
        if rollup.timeliness is not Timeliness.HISTORY:
            sums.setdefault(rollup.key, []).append(rollup)

    def standing(key: Key) -> Standing:
        rollups = sums.get(key, [])
        model = one_model(rollups, live.model)
        return Standing(key=key, level=levels.get(key), told=[each for each in rollups if each.model == model])

    return [standing(key) for key in sorted({*levels, *sums})]


def key_level(standing: Standing, live: Live, names: Mapping[Language, str]) -> models.KeyLevel:
    """Return a key and where its needle stands."""
    key, level, told = standing.key, standing.level, standing.told
    return models.KeyLevel(
        key=key,
        group=group_of(key),
        name=name_of(key),
        names=dict(names),
        state=standing.state,
        learning_since=None if level is None else level.learning_since,
        windows=[
            models.WindowLevel(
                window=window_label(each.window),
                seconds=each.window.total_seconds(),
                stories=each.stories,
                negative=each.negative,
                expected=each.expected,
            )
            for each in (level.windows if level else ())
        ],
        day=models.Day(stories=_count(told), negative=sum(each.negative for each in told), mood=_mood(told)),
        incidents=[each.id for each in live.incidents if key in each.active],
    )


def series(
    key: Key,
    rollups: Sequence[Rollup],
    *,
    starts: Sequence[datetime],
    step: timedelta,
    model: ModelId | None,
    normal: NormalOf,
) -> models.Series:
    """Return one point for each start, of the rollups of one model."""
    live: dict[datetime, Rollup] = {}
    history: dict[datetime, Rollup] = {}
    for rollup in rollups:
        if rollup.model == model:
            (history if rollup.timeliness is Timeliness.HISTORY else live)[rollup.bucket] = rollup

    def point(at: datetime) -> models.Point:
        told, past, usual = live.get(at), history.get(at), normal(key, at, step)
        return models.Point(
            at=at,
            stories=told.stories if told else 0,
            negative=told.negative if told else 0,
            weight=told.weight if told else 0.0,
            mood=_mood([told] if told else []),
            expected=usual and usual.expected,
            upper=usual and usual.upper,
            history=past.stories if past else 0,
            history_negative=past.negative if past else 0,
        )

    return models.Series(
        key=key,
        model=model,
        models=list(dict.fromkeys(rollup.model for rollup in rollups)),
        since=starts[0],
        until=starts[-1] + step,
        step_seconds=step.total_seconds(),
        points=[point(at) for at in starts],
    )


def one_model(rollups: Sequence[Rollup], preferred: ModelId | None) -> ModelId | None:
    """Return the model to show: the preferred one where it has any of the rollups, else that of the newest."""
    present = {rollup.model for rollup in rollups}
    if preferred in present:
        return preferred
    return max(rollups, key=lambda rollup: rollup.bucket).model if rollups else None


def sources(
    live: Live, *, ledgers: Mapping[SourceId, Ledger], dead: Mapping[SourceId, int], positions: Sequence[Position]
) -> list[models.Source]:
    """Return every source that is configured or has a ledger, in order of id."""
    levels = {level.id: level for level in live.sources}
    blind = {level.key for level in live.keys if level.blind}

    def source(id_: SourceId) -> models.Source:
        level, ledger = levels.get(id_), ledgers.get(id_, Ledger())
        return models.Source(
            id=id_,
            kind=level.kind if level else None,
            last_success=level.last_success if level else None,
            error=level.error if level else None,
            blind=source_key(id_) in blind,
            ledger=models.Ledger(**asdict(ledger), in_flight=ledger.in_flight),
            dead_letters=dead.get(id_, 0),
            positions=[
                models.Position(partition=each.partition, value=dict(each.value))
                for each in positions
                if each.source == id_
            ],
        )

    return [source(id_) for id_ in sorted({*levels, *ledgers})]


def assessment(value: Assessment) -> models.ScoreAnswer:
    """Return what the model makes of a text."""
    return models.ScoreAnswer(
        label=value.label,
        probabilities=dict(value.probabilities),
        topics=dict(value.topics),
        entities=[
            models.EntityScore(id=each.id, name=each.name, label=each.label, probabilities=dict(each.probabilities))
            for each in value.entities
        ],
        model=value.model,
    )


def _count(rollups: Iterable[Rollup]) -> int:
    return sum(rollup.stories for rollup in rollups)


def _mood(rollups: Sequence[Rollup]) -> float | None:
    stories = _count(rollups)
    return sum(each.sum_positive - each.sum_negative for each in rollups) / stories if stories else None
