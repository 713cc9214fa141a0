"""What the desk does about an incident: it looks into it, and says whether it was right.

The watch step folds signals into the open incidents it reads within its transaction. Writing here goes through the same
store, one transaction at a time, so neither overwrites what the other has made of an incident.
"""

from __future__ import annotations

from collections.abc import Callable

from monitor.api.services import Conflict, Missing, Unusable
from monitor.core.incidents import Folded, acknowledge
from monitor.ports import Store
from monitor.reading import Reader
from monitor.types import Acknowledgement, Incident, IncidentId, Verdict


class Handling:
    """Writes for the API. `took` hears of an incident as soon as a commit has changed it."""

    def __init__(self, *, store: Store, reader: Reader, took: Callable[[Folded], None]) -> None:
        self._store = store
        self._reader = reader
        self._took = took

    async def acknowledge(self, id_: IncidentId, acknowledgement: Acknowledgement) -> Incident:
        """Note that somebody looks into an open incident, and return it; done already, nothing changes.

        Raise Missing where there is none, Conflict where it is resolved, StoreError where the database refuses.
        """
        async with self._store.transaction() as transaction:
            before = next((each for each in await transaction.open_incidents() if each.id == id_), None)
            after = before and acknowledge(before, acknowledgement)
            if after and after != before:
                await transaction.save_incidents([after])
        if after is None:
            await self._incident(id_)
            raise Conflict(f"incident {id_} is resolved: there is nothing left to acknowledge")
        if after != before:
            self._took(Folded(incidents=(after,), changes=()))
        return after

    async def judge(self, verdict: Verdict) -> None:
        """Keep what the desk says of an incident, open or resolved, or of an article under one of its keys.

        Raise Missing where there is no such incident, Unusable where the article is none of it.
        """
        incident = await self._incident(verdict.incident)
        if verdict.article is not None:
            judged = await self._reader.judgements(verdict.article)
            if not {each.key for each in judged} & set(incident.keys):
                raise Unusable(f"article: found {verdict.article}; expected one that counts for {incident.keys[0]}")
        async with self._store.transaction() as transaction:
            await transaction.add_verdict(verdict)

    async def _incident(self, id_: IncidentId) -> Incident:
        incident = await self._reader.incident(id_)
        if incident is None:
            raise Missing(f"there is no incident {id_}")
        return incident
