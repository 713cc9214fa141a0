"""How much of the bare model's speed the whole daemon keeps, how soon it is ready, and whether its memory stays flat.

    python benchmarks/end_to_end.py [--articles 3000]
    python benchmarks/end_to_end.py --articles 200000 --headlines     # for the memory

The baseline is the model alone, in this process, judging the same texts and companies in the same order, 256 articles
at a time. Then `newsquake run` is started as a process of its own on a fresh database, and the same articles are pushed
over HTTP, eight requests of 100 at a time; the clock stops when the last is answered, which is after its commit.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.intake import IntakeRules, read
from monitor.scoring.bench import documents
from monitor.scoring.model import open_model
from monitor.scoring.worker import Text, judge_all
from monitor.sources.push import read_article
from monitor.types import Article, Json, RawItem, SourceId

COMPANIES = ("Acme Bank", "Bolt Motors", "Cobalt Mining", "Dune Energy", "Elm Foods", "Fjord Shipping")
WATCHLIST = "".join(f'[[company]]\nid = "{name.split()[0].lower()}"\nnames = ["{name}"]\n' for name in COMPANIES)
REQUEST = 100  # articles
AT_ONCE = 8  # requests
UNIT = 256


def articles(count: int, *, headlines: bool = False) -> list[dict[str, Json]]:
    """Return made-up news of mixed length, or headlines alone; each names one of six companies."""
    chance = random.Random(1)
    now = datetime.now(UTC).isoformat()
    made: list[dict[str, Json]] = []
    for number, text in enumerate(documents(count, seed=2)):
        words = text.split()
        title = " ".join([chance.choice(COMPANIES), *words[:10]])
        made.append(
            {
                "id": str(number),
                "title": title,
                "text": "" if headlines else " ".join(words[10:]),
                "publisher": f"paper{number % 40}.example",
                "published": now,
            }
        )
    return made


def texts_of(batch: Sequence[dict[str, Json]], tagger: Tagger) -> list[Text]:
    """Return what the model is asked about these articles: each whole, and each company found."""
    now = datetime.now(UTC)
    asked: list[Text] = []
    for each in batch:
        item = read_article(SourceId("door"), each, now)
        assert isinstance(item, RawItem)
        article = read(item, IntakeRules())
        assert isinstance(article, Article)
        asked += [(article.document, mention.spans) for mention in tagger.tag(article).mentions]
    return asked


def bare(made: Sequence[dict[str, Json]]) -> float:
    """Return articles a second of the model alone; reading and tagging are not timed."""
    model = open_model("builtin")
    tagger = Tagger(Watchlist.parse_toml(WATCHLIST, "watchlist"))
    spent = 0.0
    for start in range(0, len(made), UNIT):
        asked = texts_of(made[start : start + UNIT], tagger)
        began = time.perf_counter()
        judge_all(model, asked, model.budget)
        spent += time.perf_counter() - began
    return len(made) / spent


@contextmanager
def daemon(folder: Path, more: str = "", watchlist: str = WATCHLIST) -> Iterator[tuple[str, int, float]]:
    """Run the daemon, with `more` in its configuration; yields its address, its process id and how long it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "watchlist.toml").write_text(watchlist, encoding="utf-8")
    config = folder / "newsquake.toml"
    config.write_text(
        f'[api]\nbind = "127.0.0.1:{port}"\n[watchlist]\nfiles = ["watchlist.toml"]\n[log]\nlevel = "error"\n' + more,
        encoding="utf-8",
    )
    began = time.perf_counter()
    process = subprocess.Popen([Path(sys.executable).with_name("newsquake"), "run", "-c", config])
    address = f"http://127.0.0.1:{port}"
    try:
        while not answers(address):
            if process.poll() is not None:
                raise SystemExit("the daemon ended before it was ready")
            time.sleep(0.02)
        yield address, process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def wait_for(address: str, source: str, stored: int) -> None:
    """Return when so many articles of a source are committed."""
    while True:
        with urllib.request.urlopen(f"{address}/api/v1/sources", timeout=60) as answer:
            sources = json.load(answer)["sources"]
        if next(each["ledger"]["stored"] for each in sources if each["id"] == source) >= stored:
            return
        time.sleep(0.05)


def push(address: str, batch: Sequence[dict[str, Json]]) -> None:
    """Push, and wait for the commit; come back later where the daemon asks for it."""
    body = json.dumps({"articles": batch}).encode()
    request = urllib.request.Request(
        f"{address}/api/v1/articles", body, {"Content-Type": "application/json"}, method="POST"
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                results = json.load(answer)["results"]
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(float(error.headers["Retry-After"]))
        else:
            assert all(result["outcome"] == "stored" for result in results), results
            return


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise SystemExit("/proc tells nothing of the daemon's memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=3000)
    parser.add_argument("--headlines", action="store_true", help="leave the texts out")
    asked = parser.parse_args()
    count: int = asked.articles
    made = articles(count, headlines=asked.headlines)
    alone = bare(made[:3000])
    memory: list[tuple[int, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="newsquake-bench-") as folder,
        daemon(Path(folder)) as (address, pid, ready),
    ):
        warm = [{**each, "id": f"warm-{each['id']}"} for each in made[:REQUEST]]
        push(address, warm)
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            requests = [made[start : start + REQUEST] for start in range(0, count, REQUEST)]
            for done, _ in enumerate(pool.map(lambda batch: push(address, batch), requests), start=1):
                if done % max(1, len(requests) // 10) == 0:
                    memory.append((done * REQUEST, resident(pid)))
        whole = count / (time.perf_counter() - began)
    print(f"machine: {platform.machine()}, {platform.platform()}; {datetime.now(UTC):%Y-%m-%d}")
    print(f"ready after          {ready:8.1f} s")
    print(f"bare model           {alone:8.1f} articles/s (each whole and for its companies)")
    print(f"daemon, end to end   {whole:8.1f} articles/s")
    print(f"ratio                {whole / alone:8.2f}")
    print("resident memory, MB  " + ", ".join(f"{size:.0f} after {done:,}" for done, size in memory))


if __name__ == "__main__":
    main()
