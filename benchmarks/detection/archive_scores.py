"""A scorer that keeps what the model said in a file, so that a benchmark over an archive is judged once.

A row holds hashes and probabilities, never text. A row of another model is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from monitor.ports import Scorer, Unscorable
from monitor.types import Mention, ModelId, Score, Sentiment


def name_of(mention: Mention) -> str:
    """Return what a judgement rests on: the text, and where the company stands in it."""
    return sha256(f"{mention.spans if mention.entity else ''}\n{mention.article.document}".encode()).hexdigest()[:24]


class KeptScores:
    """A Scorer that asks another one only for what it has not been told before."""

    def __init__(self, scorer: Scorer, file: Path | None) -> None:
        self._scorer = scorer
        self._file = file
        self._known: dict[str, dict[str, Any]] = {}
        if file is not None and file.exists():
            rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
            self._known = {row["of"]: row for row in rows if row["model"] == scorer.model}

    @property
    def model(self) -> ModelId:
        return self._scorer.model

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        missing = {name: each for each in mentions if (name := name_of(each)) not in self._known}
        answers = await self._scorer.score(list(missing.values())) if missing else ()
        rows = [self._row(name, answer) for name, answer in zip(missing, answers, strict=True)]
        self._known |= {row["of"]: row for row in rows}
        if self._file is not None and rows:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
        return [self._answer(mention, self._known[name_of(mention)]) for mention in mentions]

    def _row(self, name: str, answer: Score | Unscorable) -> dict[str, Any]:
        if isinstance(answer, Unscorable):
            return {"of": name, "model": self.model, "error": answer.error}
        mood = answer.sentiment
        moods = (mood.negative, mood.neutral, mood.positive)
        return {"of": name, "model": self.model, "sentiment": moods, "topics": dict(answer.topics)}

    def _answer(self, mention: Mention, row: dict[str, Any]) -> Score | Unscorable:
        if "error" in row:
            return Unscorable(mention=mention, error=row["error"])
        negative, neutral, positive = row["sentiment"]
        return Score(
            mention=mention,
            sentiment=Sentiment(negative=negative, neutral=neutral, positive=positive),
            topics=row["topics"],
            model=self.model,
            scored=datetime.now(UTC),
        )
