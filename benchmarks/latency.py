"""How soon a desk knows: from an article that raises an alert to the webhook, and to Alertmanager.

    python benchmarks/latency.py [--incidents 60] [--load 0.5] [--json]

`newsquake run` is started as a process of its own, with a webhook and a real Alertmanager (`prometheus-alertmanager`)
as its targets. First its full rate is measured: articles pushed over HTTP, eight requests of 100 at a time. Then news
comes at `--load` of that rate, in a schedule that waits for no answer, and amid it one company after another surges: a
dozen bad stories, each in a request of its own.

An incident's evidence names the stories it rests on. The clock starts when the last of them was handed over, just
before its request; so it counts the queue, the model, the commit and the way out. It stops when the webhook has read
the message, and when Alertmanager, told to wait for nothing, notifies of the alert.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from end_to_end import AT_ONCE, REQUEST, articles, daemon, push, wait_for
from end_to_end import WATCHLIST as OTHERS

from monitor.types import Json

ALERTMANAGER = Path(__file__).parent.parent / "tests" / "servers" / "alertmanager"
FIRST = "Amber Basalt Cedar Delta Ember Garnet Harbour Indigo Juniper Kelp Lagoon Meadow Nectar Onyx Pebble"
SECOND = "Airlines Brewery Chemicals Foundry Insurance Logistics Pharma Steel Telecom Textiles"
COMPANIES = [f"{first} {second}" for second in SECOND.split() for first in FIRST.split()]
SOME = "anchor beacon dune echo falcon glacier iris knoll lotus marble nimbus orchid prairie quill ripple slate"
BAD = (
    "{name} shares plunge after {some} fraud investigation",
    "{name} sued over {some} losses",
    "Regulator raids {name} offices in {some} probe",
    "{name} reports heavy loss and cuts {some} outlook",
    "{name} defaults on {some} loan",
    "Rating agency downgrades {name} to junk after {some} scandal",
)
STORIES = 12  # of a surge
PAUSE = 0.2  # seconds between two of them
PAST = 4  # days
SLICE = 0.25  # seconds between two requests of the load
LAST = 60.0  # seconds in which the last messages must come
CONFIG = """
[http]
allow_private = ["127.0.0.1"]
[[source]]
id = "past"
kind = "archive"
path = "past.jsonl"
[[source]]
id = "door"
kind = "push"
[[target]]
id = "desk"
kind = "webhook"
url = "{listener}/desk"
[[target]]
id = "pager"
kind = "alertmanager"
url = "{alertmanager}"
"""
AT_ONCE_PLEASE = """
route: {{receiver: pager, group_by: ["..."], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: pager, webhook_configs: [{{url: "{listener}/pager", send_resolved: false}}]}}]
"""


class Listener:
    """Notes when the webhook and Alertmanager first told of each incident, and what the webhook said of it."""

    def __init__(self) -> None:
        self.desk: dict[str, tuple[float, dict[str, Any]]] = {}
        self.pager: dict[str, float] = {}

    def took(self, path: str, body: dict[str, Any]) -> None:
        now = time.perf_counter()
        if path == "/desk":
            if body["type"] == "incident.opened":
                self.desk.setdefault(body["data"]["id"], (now, body["data"]))
            return
        for alert in body["alerts"]:
            self.pager.setdefault(alert["labels"]["incident"], now)

    @contextmanager
    def open(self) -> Iterator[str]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
                pass

            def do_POST(self) -> None:
                listener.took(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(folder: Path, listener: str) -> Iterator[str]:
    config = folder / "alertmanager.yml"
    config.write_text(AT_ONCE_PLEASE.format(listener=listener), encoding="utf-8")
    home = folder / "alertmanager"
    started = subprocess.run([ALERTMANAGER, "start", home, config], check=True, stdout=subprocess.PIPE, text=True)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([ALERTMANAGER, "stop", home], check=True)


@contextmanager
def taught(folder: Path, listener: str, manager: str) -> Iterator[str]:
    """Run the daemon, until it knows what is normal; yields its address."""
    ours = "".join(f'[[company]]\nid = "{idname(name)}"\nnames = ["{name}"]\n' for name in COMPANIES)
    past = calm_days()
    (folder / "past.jsonl").write_text("".join(json.dumps(each) + "\n" for each in past), encoding="utf-8")
    config = CONFIG.format(listener=listener, alertmanager=manager)
    with daemon(folder, config, watchlist=OTHERS + ours) as (address, _, _):
        wait_for(address, "past", len(past))
        read = time.time()
        while last_tick(address) <= read:  # what was read as the past is learned with a tick
            time.sleep(0.5)
        yield address


def calm_days() -> list[dict[str, Json]]:
    """Return plain news of the last days: an article an hour, the companies by turns."""
    now, chance = datetime.now(UTC), random.Random(4)
    return [
        {
            "id": f"past-{hour}-{turn}",
            "title": " ".join(
                (COMPANIES[(hour * 4 + turn) % len(COMPANIES)], "opens", *chance.sample(SOME.split(), 4), "office")
            ),
            "publisher": f"paper{turn}.example",
            "published": (now - timedelta(hours=PAST * 24 + 1 - hour)).isoformat(),
        }
        for hour in range(PAST * 24)
        for turn in range(4)
    ]


def full_rate(address: str, count: int) -> float:
    """Return articles a second, pushed as fast as they are taken."""
    made = [{**each, "id": f"full-{each['id']}"} for each in articles(count + REQUEST)]
    push(address, made[:REQUEST])
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda start: push(address, made[start : start + REQUEST]), range(REQUEST, len(made), REQUEST)))
    return count / (time.perf_counter() - began)


@contextmanager
def load(address: str, rate: float) -> Iterator[None]:
    """Let ordinary news come at `rate` articles a second while the block runs, whatever becomes of it."""
    size = max(1, round(rate * SLICE))
    enough = threading.Event()
    made = articles(20_000)

    def keep_on(pool: ThreadPoolExecutor, pushes: list[Future[None]]) -> None:
        began, number = time.perf_counter(), 0
        while not enough.wait(max(0.0, began + number * size / rate - time.perf_counter())):
            now = datetime.now(UTC).isoformat()
            batch: list[dict[str, Json]] = [
                {**made[(number * size + place) % len(made)], "id": f"load-{number}-{place}", "published": now}
                for place in range(size)
            ]
            pushes.append(pool.submit(push, address, batch))
            number += 1

    with ThreadPoolExecutor(4 * AT_ONCE) as pool:
        pushes: list[Future[None]] = []
        thread = threading.Thread(target=keep_on, args=(pool, pushes))
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()
        for each in pushes:
            each.result()


def surge(address: str, company: str, sent: dict[str, float]) -> None:
    """Bring a dozen bad stories about a company, and note when each was handed over."""
    chance = random.Random(company)
    with ThreadPoolExecutor(STORIES) as pool:
        pushes: list[Future[None]] = []
        for number in range(STORIES):
            some = " ".join(chance.sample(SOME.split(), 5))
            title = BAD[number % len(BAD)].format(name=company, some=some)
            sent[title] = time.perf_counter()
            article: dict[str, Json] = {
                "id": f"{idname(company)}-{number}",
                "title": title,
                "publisher": f"paper{number % 7}.example",
                "published": datetime.now(UTC).isoformat(),
            }
            pushes.append(pool.submit(push, address, [article]))
            time.sleep(PAUSE)
        for each in pushes:
            each.result()


def delays(listener: Listener, sent: dict[str, float]) -> tuple[list[float], list[float]]:
    """Return seconds to the webhook and to Alertmanager, of the incidents that a planted surge opened."""
    desk: list[float] = []
    pager: list[float] = []
    for id_, (at, incident) in listener.desk.items():
        handed = [sent[each["title"]] for each in incident["evidence"] if each["title"] in sent]
        if incident["key"].removeprefix("entity:") in map(idname, COMPANIES) and handed:
            desk.append(at - max(handed))
            if id_ in listener.pager:
                pager.append(listener.pager[id_] - max(handed))
    return desk, pager


def idname(company: str) -> str:
    return company.lower().replace(" ", "-")


def last_tick(address: str) -> float:
    with urlopen(f"{address}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    name = "newsquake_detector_last_tick_timestamp_seconds "
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    p50, p99 = np.percentile(seconds, (50, 99)) if seconds else (float("nan"), float("nan"))
    return {"incidents": len(seconds), "p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incidents", type=int, default=60, help=f"companies that surge, at most {len(COMPANIES)}")
    parser.add_argument("--load", type=float, default=0.5, help="of the full rate")
    parser.add_argument("--articles", type=int, default=2000, help="to measure the full rate with")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    listener, sent = Listener(), dict[str, float]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newsquake-bench-")))
        ear = stack.enter_context(listener.open())
        manager = stack.enter_context(alertmanager(folder, ear))
        address = stack.enter_context(taught(folder, ear, manager))
        full = full_rate(address, asked.articles)
        with load(address, asked.load * full):
            for company in COMPANIES[: asked.incidents]:
                surge(address, company, sent)
        deadline = time.monotonic() + LAST
        while any(id_ not in listener.pager for id_ in dict(listener.desk)) and time.monotonic() < deadline:
            time.sleep(0.2)
    desk, pager = delays(listener, sent)
    found = {
        "machine": f"{platform.machine()}, {platform.platform()}; {datetime.now(UTC):%Y-%m-%d}",
        "full_rate": round(full, 1),
        "load": round(asked.load * full, 1),
        "surges": asked.incidents,
        "webhook_seconds": summary(desk),
        "alertmanager_seconds": summary(pager),
    }
    if asked.json:
        print(json.dumps(found))
        return
    print(f"machine: {found['machine']}")
    print(f"full rate        {full:8.1f} articles/s, load {asked.load:.0%} of it")
    for name, seconds in (("webhook", desk), ("Alertmanager", pager)):
        told = summary(seconds)
        print(f"{name:16} {told['p50']:8.3f} s p50, {told['p99']:.3f} s p99 over {told['incidents']} incidents")
    print(f"companies that surged: {asked.incidents}")


if __name__ == "__main__":
    main()
