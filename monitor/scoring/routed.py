"""One model made of several: each text is judged by the model of its own language.

Which language a text is in is read from the text, as its script and `core.text.language` tell it, so that whoever asks
(the daemon, the page, a trainer's gate) is answered by the same model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from monitor.core.manifest import Head
from monitor.core.text.language import language_among
from monitor.scoring import model
from monitor.scoring.preparation import Prepared
from monitor.scoring.references import REST, parts_of
from monitor.scoring.worker import Judgement, Text
from monitor.types import Language, ModelId


@dataclass(frozen=True, slots=True)
class Addressed(Prepared):
    """A text prepared for the model of one language."""

    language: str


class Routed(model.Model):
    """Models by language, and one under REST for all other texts. Not for several threads at once.

    `heads` are those that all of them have with the same labels; a judgement holds what its own model answers. The id
    follows from the ids of the parts.
    """

    def __init__(self, parts: Mapping[str, model.Model]) -> None:
        rest = parts[REST]
        told = json.dumps(sorted((language, part.id) for language, part in parts.items()))
        self.id = ModelId(hashlib.sha256(told.encode()).hexdigest()[:16])
        self.heads = {
            name: head for name, head in rest.heads.items() if all(_has(part, name, head) for part in parts.values())
        }
        self.limit = max(part.limit for part in parts.values())
        self.budget = min(part.budget for part in parts.values())
        self.device, self.threads, self.precision = rest.device, rest.threads, rest.precision
        self.prepare = self._addressed
        self._parts = parts
        self._languages = frozenset(Language(language) for language in parts if language != REST)

    def judge(self, batch: Sequence[Prepared]) -> list[Judgement]:
        """As `Model.judge`: each text is answered by the model that it was prepared for."""
        addressed, found = cast("Sequence[Addressed]", batch), dict[int, Judgement]()
        for language, part in self._parts.items():
            mine = [i for i, each in enumerate(addressed) if each.language == language]
            if mine:
                found |= zip(mine, part.judge([addressed[i] for i in mine]), strict=True)
        return [found[i] for i in range(len(batch))]

    def _addressed(self, texts: Sequence[Text]) -> list[Prepared]:
        languages = {text: language_among(text, self._languages) or REST for text, _ in texts}
        found: dict[int, Prepared] = {}
        for language, part in self._parts.items():
            mine = [i for i, (text, _) in enumerate(texts) if languages[text] == language]
            for i, each in zip(mine, part.prepare([texts[i] for i in mine]), strict=True):
                found[i] = Addressed(each.ids, each.focus, language)
        return [found[i] for i in range(len(texts))]


def _has(part: model.Model, name: str, head: Head) -> bool:
    own = part.heads.get(name)
    return own is not None and (own.labels, own.kind) == (head.labels, head.kind)


def open_model(
    reference: str,
    *,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> model.Model:
    """As `model.open_model`, for a reference that may name models by language (`references.parts_of`).

    A label that is given as `zh=NAME` is one of the Chinese model's checkpoint; a bare NAME is one of any.
    """
    opened = {
        language: model.open_model(part, labels=_labels_of(language, labels or {}), threads=threads, cache=cache)
        for language, part in parts_of(reference).items()
    }
    return Routed(opened) if len(opened) > 1 else opened[REST]


def _labels_of(language: str, labels: Mapping[str, str]) -> dict[str, str]:
    bare = {name: meaning for name, meaning in labels.items() if "=" not in name}
    own = {name.removeprefix(f"{language}="): meaning for name, meaning in labels.items()}
    return bare | {name: meaning for name, meaning in own.items() if "=" not in name}
