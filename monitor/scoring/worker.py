"""One thread owns the models: the one that serves, and now and then one that stands by to take over.

It takes what waits, judges it in batches of like length, and gives every waiter its results or the reason why there are
none. What is asked quietly (old stories, for the one that stands by) is judged in small batches when nobody else waits,
and beside a steady load it gets one text in ten, so that it comes to an end all the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from monitor.core.batching import pack
from monitor.errors import ScoringError
from monitor.ports import Clock, Unscorable
from monitor.scoring.glossary import Span
from monitor.scoring.preparation import Prepared
from monitor.types import Mention, ModelId, Score, Sentiment

Judgement: TypeAlias = Mapping[str, Mapping[str, float]]  # {head: {label: calibrated probability}}
Text: TypeAlias = tuple[str, Sequence[Span]]  # and where the company stands in it; nowhere: the whole text

_T = TypeVar("_T")

MANY = 8  # texts that fail one after the other are no longer the texts' fault
TAKE = 512  # texts taken at once: enough to find like lengths, few enough that nobody waits long behind them
QUIET = 16  # of those that are asked quietly: what comes meanwhile waits for these
SHARE = 9  # texts of others that are judged first, for each that is asked quietly


class Model(Protocol):
    """What the thread asks of a model."""

    @property
    def id(self) -> ModelId: ...

    @property
    def budget(self) -> int:
        """Padded tokens that the device takes at once."""
        ...

    def prepare(self, texts: Sequence[Text]) -> Sequence[Prepared]: ...

    def judge(self, batch: Sequence[Prepared]) -> Sequence[Judgement]:
        """Judge one batch, in order. Raise MemoryError where the device is too small for it."""
        ...


def judge_all(model: Model, texts: Sequence[Text], budget: int) -> tuple[list[Judgement | Exception], int]:
    """Judge texts in batches of at most `budget` padded tokens; return one result each, in order, and the budget left.

    A batch that fails is halved until the texts that fail alone stand alone; their results are the errors. Where
    memory does not suffice, the budget is halved too.
    """
    results: list[Judgement | Exception] = [RuntimeError("not judged")] * len(texts)
    prepared: dict[int, Prepared] = {}

    def prepare(indices: list[int]) -> None:
        prepared.update(zip(indices, model.prepare([texts[i] for i in indices]), strict=True))

    def judge(indices: list[int]) -> None:
        for index, judgement in zip(indices, model.judge([prepared[i] for i in indices]), strict=True):
            results[index] = judgement

    failed = _bisected(prepare, list(range(len(texts))))
    order = sorted(prepared)
    waiting = deque([[order[i] for i in batch] for batch in pack([len(prepared[i].ids) for i in order], budget)])
    while waiting:
        batch = waiting.popleft()
        try:
            judge(batch)
        except MemoryError as error:
            if len(batch) == 1:
                failed[batch[0]] = error
                continue
            budget = max(1, budget // 2)
            rest = [*batch, *(i for each in waiting for i in each)]
            waiting = deque([[rest[i] for i in each] for each in pack([len(prepared[i].ids) for i in rest], budget)])
        except Exception as error:  # noqa: BLE001 - whatever a text provokes is that text's result
            if len(batch) == 1:
                failed[batch[0]] = error
            else:
                waiting.extendleft([batch[len(batch) // 2 :], batch[: len(batch) // 2]])
    for index, reason in failed.items():
        results[index] = reason
    return results, budget


def _bisected(work: Callable[[list[int]], None], indices: list[int]) -> dict[int, Exception]:
    """Do the work on all indices; where it fails, on each half, down to the single ones that fail: return those."""
    if not indices:
        return {}
    try:
        work(indices)
    except Exception as error:  # noqa: BLE001 - whatever a text provokes is that text's result
        if len(indices) == 1:
            return {indices[0]: error}
        middle = len(indices) // 2
        return _bisected(work, indices[:middle]) | _bisected(work, indices[middle:])
    return {}


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's mentions, and how many results are still out."""

    mentions: Sequence[Mention]
    future: asyncio.Future[list[Score | Unscorable]]
    results: dict[int, Score | Unscorable] = field(default_factory=dict)
    abandoned: bool = False


@dataclass(slots=True, eq=False)
class _Seat:
    """A model, the budget it is left with, and what waits for it."""

    model: Model
    budget: int
    waiting: deque[tuple[_Call, int]] = field(default_factory=deque)

    def take(self, limit: int) -> list[tuple[_Call, int]]:
        taken: list[tuple[_Call, int]] = []
        while self.waiting and len(taken) < limit:
            entry = self.waiting.popleft()
            if not entry[0].abandoned:
                taken.append(entry)
        return taken


class Worker:
    """A Scorer. Make it in a running event loop; `close` ends its thread."""

    def __init__(self, model: Model, clock: Clock) -> None:
        self._serving = _Seat(model, model.budget)
        self._quiet = _Seat(model, model.budget)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._calls: set[_Call] = set()
        self._patience = 0  # texts that go before those asked quietly, where such texts wait
        self._closing = False
        self._failure: BaseException | None = None
        self._failing = 0, ""  # texts that failed since the last one that was judged, and why the last did
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def model(self) -> ModelId:
        """The model that answers now."""
        return self._serving.model.id

    @property
    def alive(self) -> bool:
        """Whether the thread still answers."""
        return self._failure is None and not self._closing

    @property
    def trouble(self) -> str | None:
        """What keeps texts from being judged, None where nothing does: a text that fails alone is its own fault."""
        if not self.alive:
            return "the model's thread has ended"
        failed, reason = self._failing
        return f"none of the last {failed} texts could be judged: {reason}" if failed >= MANY else None

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        """Judge the mentions; one result each, in order. Raise ScoringError where the model's thread has ended."""
        return await self._ask(self._serving, mentions)

    async def score_quietly(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        """As `score`, by the model that stands by (where none does, by the one that serves), after everybody else."""
        return await self._ask(self._quiet, mentions)

    def stand_by(self, model: Model) -> None:
        """Let `model` answer what is asked quietly from now on."""
        with self._wake:
            self._quiet.model, self._quiet.budget = model, model.budget

    def stand_down(self) -> None:
        """Let the serving model answer everything again, and let go of the one that stood by."""
        self.stand_by(self._serving.model)

    def take_over(self) -> ModelId:
        """Let the model that stands by answer from the next batch on; return the id of the one it replaces.

        A call under way may so be answered by both; its scores say which by whom.
        """
        with self._wake:
            self._require_alive()
            old, model = self._serving.model.id, self._quiet.model
            self._serving.model, self._serving.budget = model, model.budget
            return old

    async def _ask(self, seat: _Seat, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        if not mentions:
            return []
        call = _Call(mentions, self._loop.create_future())
        with self._wake:
            self._require_alive()
            self._calls.add(call)
            seat.waiting.extend((call, i) for i in range(len(mentions)))
            self._wake.notify()
        try:
            return await call.future
        finally:
            call.abandoned = True
            with self._wake:
                self._calls.discard(call)

    async def close(self) -> None:
        """End the thread after the batch it is at; whoever still waits gets ScoringError. Safe to call twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _require_alive(self) -> None:
        if self._failure is not None:
            raise ScoringError(f"the model's thread has died: {self._failure!r}") from self._failure
        if self._closing:
            raise ScoringError("the model's thread has been closed")

    # --- below: the thread ---

    def _run(self) -> None:
        try:
            while (work := self._take()) is not None:
                self._judge(*work)
        except BaseException as error:  # noqa: BLE001 - it reaches every waiter, now and later
            self._failure = error
        finally:
            self._abort()

    def _take(self) -> tuple[_Seat, Model, list[tuple[_Call, int]]] | None:
        """Wait for work, and take it together with the model that is to do it. None: the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._serving.waiting or self._quiet.waiting or self._closing)
            if self._closing:
                return None
            if self._quiet.waiting and (not self._serving.waiting or self._patience <= 0):
                seat, taken = self._quiet, self._quiet.take(QUIET)
                self._patience = SHARE * len(taken)
            else:
                seat, taken = self._serving, self._serving.take(TAKE)
                self._patience = max(0, self._patience - len(taken))
            return seat, seat.model, taken

    def _judge(self, seat: _Seat, model: Model, taken: Sequence[tuple[_Call, int]]) -> None:
        mentions = [call.mentions[i] for call, i in taken]
        texts = [(mention.article.document, mention.spans) for mention in mentions]
        results, budget = judge_all(model, texts, seat.budget)
        if seat is self._serving:
            self._note(results)
        with self._wake:
            if seat.model is model:
                seat.budget = budget
        for (call, i), mention, result in zip(taken, mentions, results, strict=True):
            call.results[i] = self._score(model.id, mention, result)
            if len(call.results) == len(call.mentions):
                self._tell(call.future, [call.results[n] for n in range(len(call.mentions))])

    def _note(self, results: Sequence[Judgement | Exception]) -> None:
        """Count the texts that failed since the last one that was judged."""
        failed, reason = self._failing
        for result in results:
            failed, reason = (failed + 1, _told(result)) if isinstance(result, Exception) else (0, "")
        self._failing = failed, reason

    def _score(self, model: ModelId, mention: Mention, result: Judgement | Exception) -> Score | Unscorable:
        if isinstance(result, Exception):
            return Unscorable(mention=mention, error=_told(result))
        return Score(
            mention=mention,
            sentiment=Sentiment(**result["sentiment"]),
            topics=result.get("topic", {}) if mention.entity is None else {},
            model=model,
            scored=self._clock.now(),
        )

    def _abort(self) -> None:
        """Let no waiter wait for a thread that is gone."""
        with self._wake:
            reason = "has been closed" if self._failure is None else f"has died: {self._failure!r}"
            futures = [call.future for call in self._calls]
        for future in futures:
            error = ScoringError(f"the model's thread {reason}")
            error.__cause__ = self._failure
            self._post(_fail, future, error)

    def _tell(self, future: asyncio.Future[_T], value: _T) -> None:
        self._post(_resolve, future, value)

    def _post(self, action: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(action, *args)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[_T], error: ScoringError) -> None:
    if not future.done():
        future.set_exception(error)
