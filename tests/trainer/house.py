"""A daemon's configuration and database, as the trainer finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from monitor.clock import SystemClock
from monitor.core.text.signature import bands
from monitor.store.models import Promotions
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from monitor.types import Article, ModelState
from tests.acceptance.desk import WORDS
from tests.trainer.conftest import recipe
from trainer.commands import run_fit

COMPANIES = ("acme", "borealis", "steel", "bank")


async def house(folder: Path, model: Path, *, alarms: str = "1 per week") -> Path:
    """Write a configuration whose model is `model`, and its database."""
    companies = "".join(f'[[company]]\nid = "{name}"\nnames = ["{name}"]\n' for name in COMPANIES)
    (folder / "watchlist.toml").write_text(companies, encoding="utf-8")
    file = folder / "newsquake.toml"
    url = f"sqlite:///{folder}/newsquake.db"
    file.write_text(
        f'[store]\nurl = "{url}"\n[model]\ndefault = "path:{model}"\nthreads = 1\n[detect]\nfalse_alarms = "{alarms}"\n'
        '[watchlist]\nfiles = ["watchlist.toml"]\n',
        encoding="utf-8",
    )
    await upgrade(url)
    return file


async def promotions(config: Path) -> list[tuple[str, ModelState]]:
    table = await Promotions.open(f"sqlite:///{config.parent}/newsquake.db")
    try:
        return [(row.reference, row.state) for row in await table.standing()]
    finally:
        await table.close()


async def keep(config: Path, articles: Sequence[Article]) -> None:
    store = await SqlStore.open(f"sqlite:///{config.parent}/newsquake.db", SystemClock())
    try:
        async with store.transaction() as transaction:
            await transaction.add_articles(articles, [bands(each.signature) for each in articles])
    finally:
        await store.close()


def signs(folder: Path, base: Path, plain: str) -> Path:
    """A model that calls plain news by the label given."""
    chance, rows = Random(3), []
    for n in range(300):
        label, word = (("negative", "falls"), ("positive", "rises"), (plain, "was"))[n % 3]
        company = chance.choice(COMPANIES)
        topic = "ab"[COMPANIES.index(company) % 2]
        row = {"text": f"{company} {word} {' '.join(chance.sample(WORDS, 7))}", "label": label, "topic": topic}
        rows.append(row | ({"entity": company} if chance.random() < 0.5 else {}))
    file = folder / f"{plain}.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    run_fit(recipe(file, base), Path(), folder / plain, skip_bad=False, licence="CC0-1.0", threads=None)
    return folder / plain
