from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

import pytest

from monitor.errors import ScoringError
from monitor.ports import Unscorable
from monitor.scoring.preparation import Prepared
from monitor.scoring.worker import MANY, QUIET, TAKE, Judgement, Text, Worker, judge_all
from monitor.types import EntityId, Mention, ModelId, Score
from tests.fakes import FakeClock
from tests.samples import article

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class Fake:
    """A model that calls a text negative by its length, and knows what no model can bear."""

    def __init__(self, name: str = "a" * 16, *, budget: int = 1000, fits: int = 10**9) -> None:
        self.id, self.budget, self._fits = ModelId(name), budget, fits
        self.batches: list[list[int]] = []
        self.before: Callable[[], object] = lambda: None

    def prepare(self, texts: Sequence[Text]) -> list[Prepared]:
        if any("unreadable" in text for text, _ in texts):
            raise ValueError("unreadable")
        return [Prepared([0 if "poison" in text else 1] * len(text), [(0, 1)]) for text, _ in texts]

    def judge(self, batch: Sequence[Prepared]) -> list[Judgement]:
        self.before()
        self.batches.append([len(each.ids) for each in batch])
        if len(batch) * max(len(each.ids) for each in batch) > self._fits:
            raise MemoryError
        if any(0 in each.ids for each in batch):
            raise ArithmeticError("not a number")
        return [
            {
                "sentiment": {"negative": len(each.ids) / 1000, "neutral": 1 - len(each.ids) / 1000, "positive": 0.0},
                "topic": {"energy": 1.0},
            }
            for each in batch
        ]


def mention(title: str, entity: str | None = None) -> Mention:
    return Mention(article=article("x", title=title, text=""), entity=EntityId(entity) if entity else None)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker(Fake(), FakeClock(NOW))
    yield made
    await made.close()


def held(begun: threading.Event, gate: threading.Event) -> Callable[[], object]:
    """Say that a batch has begun, and hold it at the gate."""

    def wait() -> None:
        begun.set()
        gate.wait(10)

    return wait


def negatives(results: Sequence[Score | Unscorable]) -> list[int | None]:
    return [round(each.sentiment.negative * 1000) if isinstance(each, Score) else None for each in results]


async def test_results_come_in_the_order_of_the_mentions(worker: Worker) -> None:
    results = await worker.score([mention("x" * n) for n in (30, 5, 200, 7)])
    assert negatives(results) == [30, 5, 200, 7]
    assert isinstance(results[0], Score)
    assert (results[0].model, results[0].scored) == ("a" * 16, NOW)


async def test_topics_are_those_of_the_whole_article(worker: Worker) -> None:
    whole, company = await worker.score([mention("Acme"), mention("Acme", "acme")])
    assert isinstance(whole, Score)
    assert isinstance(company, Score)
    assert (dict(whole.topics), dict(company.topics)) == ({"energy": 1.0}, {})


async def test_many_callers_each_get_their_own(worker: Worker) -> None:
    calls = [worker.score([mention("x" * (n + 1)), mention("y" * (n + 2))]) for n in range(50)]
    assert [negatives(each) for each in await asyncio.gather(*calls)] == [[n + 1, n + 2] for n in range(50)]


async def test_nothing_to_score_is_nothing(worker: Worker) -> None:
    assert await worker.score([]) == []


async def test_one_poisonous_text_does_not_harm_its_neighbours(worker: Worker) -> None:
    results = await worker.score([mention("good"), mention("poison"), mention("fine"), mention("unreadable")])
    assert negatives(results) == [4, None, 4, None]
    assert [each.error for each in results if isinstance(each, Unscorable)] == [
        "ArithmeticError: not a number",
        "ValueError: unreadable",
    ]


def test_what_waits_is_batched_by_length_within_the_budget() -> None:
    model = Fake(budget=100)
    judge_all(model, [("x" * n, ()) for n in (90, 10, 50, 10, 9)], model.budget)
    assert model.batches == [[9, 10, 10], [50], [90]]


def test_too_little_memory_halves_the_budget_and_it_stays_so() -> None:
    model = Fake(fits=30)
    results, budget = judge_all(model, [("x" * 10, ())] * 8, 100)
    assert not any(isinstance(each, Exception) for each in results)
    assert budget == 25
    assert [len(batch) for batch in model.batches] == [8, 5, 2, 2, 2, 2]


def test_a_text_that_memory_never_suffices_for_is_unscorable_alone() -> None:
    results, _ = judge_all(Fake(fits=30), [("x" * 10, ()), ("x" * 40, ()), ("x" * 10, ())], 100)
    assert [type(each) for each in results] == [dict, MemoryError, dict]


async def test_a_dead_thread_reaches_every_waiter_and_who_comes_later() -> None:
    model, gate = Fake(), threading.Event()

    def die() -> None:
        gate.wait(10)
        raise SystemExit("out")

    model.before = die
    worker = Worker(model, FakeClock(NOW))
    waiting = [asyncio.create_task(worker.score([mention("x" * n)])) for n in (3, 4, 5)]
    await asyncio.sleep(0)
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ScoringError] * 3
    assert not worker.alive
    with pytest.raises(ScoringError, match="died"):
        await worker.score([mention("late")])
    await worker.close()


async def test_closing_leaves_nobody_waiting() -> None:
    model, (begun, gate) = Fake(), (threading.Event(), threading.Event())
    model.before = held(begun, gate)
    worker = Worker(model, FakeClock(NOW))
    first = asyncio.create_task(worker.score([mention("first")]))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(worker.score([mention("second")]))
    await asyncio.sleep(0)
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert negatives(await first) == [5]
    with pytest.raises(ScoringError, match="closed"):
        await second
    with pytest.raises(ScoringError, match="closed"):
        await worker.score([mention("late")])
    await worker.close()


async def test_a_caller_that_gives_up_costs_nothing_more() -> None:
    model, (begun, gate) = Fake(), (threading.Event(), threading.Event())
    model.before = held(begun, gate)
    worker = Worker(model, FakeClock(NOW))
    first = asyncio.create_task(worker.score([mention("first")]))
    await asyncio.to_thread(begun.wait, 10)
    gone = asyncio.create_task(worker.score([mention("x" * 77)]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.set()
    await first
    await worker.score([mention("last")])
    assert [77] not in model.batches
    await worker.close()


async def test_a_new_model_answers_from_the_next_batch_on(worker: Worker) -> None:
    (before,) = await worker.score([mention("x")])
    worker.stand_by(Fake("b" * 16))
    (between,) = await worker.score([mention("x")])
    assert worker.take_over() == "a" * 16
    (after,) = await worker.score([mention("x")])
    assert [each.model[0] for each in (before, between, after) if isinstance(each, Score)] == ["a", "a", "b"]
    assert worker.model == "b" * 16


async def test_what_is_asked_quietly_is_judged_by_the_model_that_stands_by(worker: Worker) -> None:
    worker.stand_by(Fake("b" * 16))
    (aside,) = await worker.score_quietly([mention("x")])
    worker.stand_down()
    (alone,) = await worker.score_quietly([mention("x")])
    assert [each.model[0] for each in (aside, alone) if isinstance(each, Score)] == ["b", "a"]


async def test_what_is_asked_quietly_waits_for_the_others_but_not_for_ever() -> None:
    model, (begun, gate) = Fake(budget=1), (threading.Event(), threading.Event())
    model.before = held(begun, gate)
    worker = Worker(model, FakeClock(NOW))
    ends: list[str] = []

    async def ask(name: str, texts: int, call: Callable[[Sequence[Mention]], object]) -> None:
        await call([mention("x" * (index + 1)) for index in range(texts)])  # type: ignore[misc]  # it is awaitable
        ends.append(name)

    first = asyncio.create_task(ask("first", 1, worker.score))
    await asyncio.to_thread(begun.wait, 10)
    quiet = [asyncio.create_task(ask(f"quiet {n}", QUIET, worker.score_quietly)) for n in range(2)]
    live = [asyncio.create_task(ask(f"live {n}", TAKE, worker.score)) for n in range(3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *quiet, *live)
    await worker.close()
    # One quiet batch is let in at once, the next after nine times as many texts of the others, not after all of them.
    assert ends == ["first", "quiet 0", "live 0", "quiet 1", "live 1", "live 2"]


def trouble(worker: Worker) -> str | None:
    """Look anew: mypy takes a property that was None to stay so."""
    return worker.trouble


async def test_one_bad_text_is_its_own_fault_and_many_are_the_models(worker: Worker) -> None:
    await worker.score([mention("poison")] * (MANY - 1))
    assert trouble(worker) is None
    await worker.score([mention("poison")])
    assert trouble(worker) == f"none of the last {MANY} texts could be judged: ArithmeticError: not a number"
    await worker.score([mention("good news"), *[mention("poison")] * 3])
    assert trouble(worker) is None
    await worker.close()
    assert trouble(worker) == "the model's thread has ended"
