"""What the daemon shows of itself: its live state, its health, and answers to loose questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from monitor.api.services import Assessment, Check, CompanyAssessment, Services, Submit, Unusable
from monitor.core.detect.levels import levels, normal
from monitor.core.detect.state import State
from monitor.core.detect.windows import bucket_of
from monitor.core.incidents import Folded
from monitor.core.keys import group_of, name_of
from monitor.handling import Handling
from monitor.judging import Question, Unreadable, judge, probabilities
from monitor.pipeline import Pipeline
from monitor.ports import Clock, Settled, Store
from monitor.reading import KeyLevel, Live, Reader, SourceLevel, TargetLevel, Tokens
from monitor.scoring.worker import Worker
from monitor.sources.push import PushSource, read_article
from monitor.telemetry import Telemetry
from monitor.types import EntityId, Incident, IncidentId, IncidentState, Json, Key, Language, SourceId

STANDSTILL = timedelta(minutes=5)  # without a tick, the daemon does not do its work


class Panel:
    """Looks at the daemon's parts when somebody asks; holds nothing itself but the incidents that are open."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        scorer: Worker,
        clock: Clock,
        telemetry: Telemetry,
        sources: Callable[[], Sequence[SourceLevel]],
        targets: Callable[[], Sequence[TargetLevel]],
        open_incidents: Iterable[Incident],
        refused: Callable[[], str | None],
    ) -> None:
        """`refused` says which model was not let in, and why, until one is."""
        self._pipeline = pipeline
        self._scorer = scorer
        self._clock = clock
        self._telemetry = telemetry
        self._sources = sources
        self._targets = targets
        self._refused = refused
        self._open: dict[IncidentId, Incident] = {incident.id: incident for incident in open_incidents}
        self._seen: tuple[State, int, Sequence[KeyLevel]] | None = None

    def services(
        self, store: Store, reader: Reader, doors: Mapping[SourceId, Submit], tokens: Tokens, stopping: asyncio.Event
    ) -> Services:
        """Return what the API is given."""
        handling = Handling(store=store, reader=reader, took=self.took)
        return Services(
            reader=reader,
            live=self.live,
            doors=doors,
            score=self.score,
            acknowledge=handling.acknowledge,
            judge=handling.judge,
            normal=lambda key, since, span: normal(self._pipeline.needle.state, key, since, span),
            names=self.names,
            alive=self.alive,
            ready=self.ready,
            tokens=tokens,
            telemetry=self._telemetry,
            clock=self._clock,
            stopping=stopping,
        )

    def took(self, folded: Folded) -> None:
        """Take note of what a commit made of the incidents; an older revision may come after a newer one."""
        for incident in folded.incidents:
            known = self._open.get(incident.id)
            if known is not None and known.revision > incident.revision:
                continue
            if incident.state is IncidentState.RESOLVED:
                self._open.pop(incident.id, None)
            else:
                self._open[incident.id] = incident

    def live(self) -> Live:
        """Return the state in memory, as of the last commit."""
        return Live(
            model=self._scorer.model,
            ticked=self._pipeline.ticked,
            keys=self._levels(),
            incidents=tuple(self._open.values()),
            sources=self._sources(),
            targets=self._targets(),
            trouble=self._pipeline.trouble,
            days=self._pipeline.needle.state.record.hours // 24,
        )

    def _levels(self) -> Sequence[KeyLevel]:
        """Work the levels out once for each state and bucket, however many ask."""
        state, bucket = self._pipeline.needle.state, bucket_of(self._clock.now())
        if self._seen is None or self._seen[0] is not state or self._seen[1] != bucket:
            self._seen = state, bucket, levels(state, self._clock.now())
        return self._seen[2]

    def alive(self) -> Sequence[Check]:
        """The process answers, so it lives; what it can do is told by `ready`."""
        return (Check(name="process", ok=True, detail="answers"),)

    def ready(self) -> Sequence[Check]:
        """Tell whether what is handed in now would be judged and stored: by the last real call of each."""
        model, store = self._scorer.trouble, self._pipeline.trouble
        serving = "; ".join(filter(None, [self._scorer.model, self._refused()]))
        return (
            Check(name="model", ok=model is None, detail=model or serving),
            Check(name="store", ok=store is None, detail=store or "took the last commit"),
        )

    def names(self, key: Key) -> Mapping[Language, str]:
        """Return what the company is called that a key is about, by language."""
        return self._pipeline.desk.watchlist.called(EntityId(name_of(key))) if group_of(key) == "entity" else {}

    def well(self) -> bool:
        """Tell whether the daemon is ready and does its work: its last tick was decided a short while ago."""
        ticked = self._pipeline.ticked
        return (
            all(check.ok for check in self.ready()) and ticked is not None and self._clock.now() - ticked < STANDSTILL
        )

    async def score(self, text: str, entity: str | None) -> Assessment:
        """Judge a loose text. Raise Unusable where nothing can be made of it."""
        desk = self._pipeline.desk
        (answer,) = await judge(
            [Question(text=text, entity=entity)],
            scorer=self._scorer,
            tagger=desk.tagger,
            watchlist=desk.watchlist,
            now=self._clock.now(),
        )
        if isinstance(answer, Unreadable):
            raise Unusable(answer.error)
        return Assessment(
            label=answer.sentiment.label,
            probabilities=probabilities(answer.sentiment),
            topics=answer.topics,
            entities=[
                CompanyAssessment(
                    id=each.id,
                    name=each.name,
                    label=each.sentiment.label,
                    probabilities=probabilities(each.sentiment),
                )
                for each in answer.companies
            ],
            model=answer.model,
        )


def door(source: PushSource, clock: Clock) -> Submit:
    """Return what takes articles for one push source, as they were posted."""

    async def submit(articles: Sequence[Json]) -> Sequence[Settled]:
        now = clock.now()
        return await source.submit([read_article(source.id, article, now) for article in articles])

    return submit
