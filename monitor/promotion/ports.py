"""What the change of the model asks of the store and of the model's thread, beyond what the pipeline does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from monitor.pipeline import Desk, Needle
from monitor.ports import Promotion, Scorer, Transaction, Unscorable
from monitor.reading import Mark
from monitor.types import Article, ArticleId, Json, Key, Mention, ModelId, ModelState, Rollup, Score, StoryId

T = TypeVar("T")


class ModelTransaction(Transaction, Protocol):
    """An atomic change that may also say which model serves."""

    async def judged(self, model: ModelId, ids: Collection[ArticleId]) -> Collection[ArticleId]:
        """Return which of these articles a model has judged."""
        ...

    async def stories(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, Mapping[Key, StoryId]]:
        """Return the story of each of these articles under each of its keys, whichever model put it there."""
        ...

    async def stage_model(self, reference: str, id_: ModelId, manifest: Mapping[str, Json]) -> None:
        """Ask for a promotion. Raise PromotionError where it serves already, or another one is under way."""
        ...

    async def move_model(self, id_: ModelId, state: ModelState, *, of: ModelState, error: str | None = None) -> bool:
        """Let a model pass from one state to another; False where somebody else has changed it meanwhile."""
        ...

    async def serve_model(self, id_: ModelId, at: datetime, *, of: ModelState) -> bool:
        """Let a model serve from `at` on in the place of the one that does; False as above."""
        ...

    async def install_model(self, reference: str, id_: ModelId, manifest: Mapping[str, Json]) -> None:
        """Let a model serve because it is what was found: at the first start, or where the one that served was."""
        ...

    async def configure_model(self, id_: ModelId) -> None:
        """Mark the model that the configuration names, and no other."""
        ...


class ModelStore(Protocol):
    """The database, as far as a change of the model goes."""

    def transaction(self) -> AbstractAsyncContextManager[ModelTransaction]:
        """As `ports.Store.transaction`."""
        ...

    async def promotions(self) -> Sequence[Promotion]:
        """Return every model that was ever staged or served here, the last changed first."""
        ...

    async def unjudged(self, model: ModelId, since: datetime, after: Mark, limit: int) -> Sequence[Article]:
        """Return articles published since a moment that another model has judged and this one has not, oldest first,
        beginning after the mark (publication time and id); those whose text is gone are left out."""
        ...

    async def count_unjudged(self, model: ModelId, since: datetime) -> int:
        """Return how many such articles there are."""
        ...

    async def rollups(self, since: datetime, until: datetime, model: ModelId | None = None) -> Sequence[Rollup]:
        """As `ports.Store.rollups`; where a model is named, only its own."""
        ...


class Way(Protocol):
    """The pipeline, as far as it lets others in between."""

    @property
    def needle(self) -> Needle: ...

    @property
    def desk(self) -> Desk: ...

    async def between(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something between two commits; return what it returns."""
        ...


class Judge(Protocol):
    """A model, opened and warm."""

    @property
    def id(self) -> ModelId: ...


class Seat(Scorer, Protocol):
    """The model's thread, where one model serves and another may stand by."""

    async def score_quietly(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        """As `score`, by the model that stands by (where none does, by the one that serves), after everybody else."""
        ...

    def stand_down(self) -> None:
        """Let the serving model answer everything again."""
        ...

    def take_over(self) -> ModelId:
        """Let the model that stands by serve; return the id of the one it replaces."""
        ...
