"""Invented articles, no two of them near-copies: plain or bad news about two invented companies."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

WORDS = (
    "amber basalt cedar delta ember fjord garnet harbour indigo juniper kelp lagoon meadow nectar onyx pebble quartz "
    "raven saffron tundra umber velvet willow yarrow zephyr anchor beacon cobalt dune echo falcon glacier hazel iris "
    "jasper knoll lotus marble nimbus orchid prairie quill ripple slate thistle upland valley walnut yonder acorn "
    "bramble cliff drift estuary fern grove heath islet jetty kiln ledge mesa notch oasis pine quarry reef spruce"
)
BAD = (
    "{company} shares plunge after {some} fraud investigation",
    "{company} sued over {some} losses",
    "Regulator raids {company} offices in {some} probe",
    "{company} reports heavy loss and cuts {some} outlook",
    "{company} defaults on {some} loan",
    "Rating agency downgrades {company} to junk after {some} scandal",
)
PLAIN = (
    "{company} to hold annual meeting at {some} hall",
    "{company} opens {some} office",
    "{company} appoints {some} adviser",
    "{company} will publish {some} figures next week",
)


class Prose:
    """Writes articles; may be asked from several threads."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._words = WORDS.split()
        self._lock = threading.Lock()

    def article(self, *, calm: bool = False) -> tuple[str, str]:
        """Return a title and a text. Of calm ones few are bad; else many are, about one of the companies."""
        with self._lock:
            bad = self._random.random() < (0.08 if calm else 0.4)
            company = "Acme Bank" if bad and not calm else self._random.choice(("Acme Bank", "Bolt Motors"))
            some = " ".join(self._random.sample(self._words, 4))
            title = self._random.choice(BAD if bad else PLAIN).format(company=company, some=some)
            text = " ".join(self._random.sample(self._words, 12)).capitalize() + "."
            return title, text


def write_past(path: Path, prose: Prose, days: int) -> int:
    """Write calm days that end an hour ago, so that the daemon knows what is normal; return of how many articles."""
    now = datetime.now(UTC)
    lines: list[str] = []
    for hour in range(days * 24):
        for _ in range(2):
            title, text = prose.article(calm=True)
            at = now - timedelta(hours=days * 24 + 1 - hour)
            lines.append(json.dumps({"title": title, "text": text, "published": at.isoformat(), "id": str(len(lines))}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)
