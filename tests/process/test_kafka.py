"""`newsquake run` and `newsquake check` on a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.process.books import examine, read
from tests.process.command import newsquake
from tests.process.daemon import Daemon, free_port
from tests.process.prose import Prose
from tests.process.servers import Server, kafka
from tests.sources.topics import World, listeners, new_name

pytestmark = [pytest.mark.process, pytest.mark.model]

SETTLING = 120.0  # seconds; generous, for a busy machine
CONFIG = """
[store]
url = "sqlite:///{folder}/newsquake.db"
[api]
bind = "127.0.0.1:{port}"
[[source]]
id = "wire"
kind = "kafka"
brokers = "{brokers}"
topic = "{news}"
group = "{group}"
fields = {{ title = "article.headline", text = "article.body", publisher = "@header.paper" }}
[[target]]
id = "stream"
kind = "kafka"
brokers = "{brokers}"
topic = "{incidents}"
[export]
brokers = "{brokers}"
scored = "{scored}"
dead_letters = "{dead}"
"""

FAILING = {  # what `check` says of each part that does not work
    "source missing": "there is no topic 'nowhere'",
    "source away": "cannot be reached",
    "source wrong": "the username or the password is wrong",
    "source strange": "certificate verify failed",
    "source absent": "absent.pem: cannot be read as PEM certificates",
    "target to-missing": "there is no topic 'nowhere'",
    "export": "there is no topic 'nowhere'",
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Server]:
    with kafka() as server:
        yield server


def test_killed_again_and_again_it_reads_each_record_once_and_exports_what_it_made_of_it(
    broker: Server, tmp_path: Path
) -> None:
    world, prose, port = World(broker), Prose(Random(5)), free_port()
    names = {name: new_name() for name in ("news", "incidents", "scored", "dead", "group")}

    async def make() -> None:
        for name in ("news", "incidents", "scored", "dead"):
            await world.make(partitions=3 if name == "news" else 1, name=names[name])

    asyncio.run(make())
    config = tmp_path / "newsquake.toml"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, brokers=world.brokers, **names), encoding="utf-8")
    titles: list[str] = []
    broken: list[bytes] = []

    def publish(count: int) -> None:
        for partition in range(3):
            values: list[object] = []
            for _ in range(count):
                title, text = prose.article()
                titles.append(title)
                values.append({"id": str(len(titles)), "article": {"headline": title, "body": text}})
            broken.append(f"no JSON, number {len(broken)}".encode())
            headers = [("paper", f"paper{partition}".encode())]
            asyncio.run(world.write(names["news"], *values, broken[-1], partition=partition, headers=headers))

    daemon = Daemon(config, port)
    try:
        daemon.start()
        for turn in range(4):
            publish(40)
            time.sleep(0.3 * turn)
            daemon.kill()
            publish(10)
            daemon.start()
        settle(daemon, len(titles), len(broken))
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.end()
    books = read(f"sqlite:///{tmp_path / 'newsquake.db'}")
    letters = books.dead["wire"]
    assert sorted(raw.partition(b"\n")[2] for raw in letters) == sorted(broken)
    examine(books, {"wire": titles})
    log = daemon.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "aiokafka" not in log

    async def outside() -> tuple[list[dict[str, object]], list[str], list[int | None]]:
        scored = [json.loads(each.value) for each in await world.read_all(names["scored"])]
        dead = [json.loads(each.value)["error"] for each in await world.read_all(names["dead"])]
        return scored, dead, [await world.group_offset(names["news"], names["group"], part) for part in range(3)]

    scored, dead, offsets = asyncio.run(outside())
    told = {each["id"]: each for each in scored}  # after a crash one may have come twice, and was the same
    assert all(each == told[each["id"]] for each in scored)
    assert sorted(str(each["title"]) for each in told.values()) == sorted(titles)
    assert {each["publisher"] for each in scored} == {"paper0", "paper1", "paper2"}
    assert len(set(dead)) == len(broken)
    assert all("no JSON" in error for error in dead)
    assert offsets == [208, 208, 208], "200 articles and 8 that nobody can read, in each partition"


def settle(daemon: Daemon, stored: int, dead: int) -> None:
    deadline = time.monotonic() + SETTLING
    ledger: dict[str, int] = {}
    while time.monotonic() < deadline:
        sources = daemon.get("/api/v1/sources")[1]["sources"]
        ledger = next(source["ledger"] for source in sources if source["id"] == "wire")
        if ledger["stored"] + ledger["duplicate"] >= stored and ledger["dead"] >= dead:
            return
        time.sleep(0.3)
    raise AssertionError(f"{ledger} of {stored} stored and {dead} dead\n{daemon.tail()}")


def test_check_tells_of_each_topic_whether_it_works(broker: Server, tmp_path: Path) -> None:
    topic, at = asyncio.run(World(broker).make(partitions=2)), listeners(broker)
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    tables = {
        "good": f'brokers = "{at["open"]}"\ntopic = "{topic}"',
        "missing": f'brokers = "{at["open"]}"\ntopic = "nowhere"',
        "away": f'brokers = "127.0.0.1:{free_port()}"\ntopic = "{topic}"',
        "wrong": f'brokers = "{at["sasl"]}"\ntopic = "{topic}"\n'
        'sasl = { username = "desk", password = "file:password" }',
        "strange": f'brokers = "{at["tls"]}"\ntopic = "{topic}"\ntls = {{}}',
        "trusted": f'brokers = "{at["tls"]}"\ntopic = "{topic}"\ntls = {{ ca = "{broker.folder}/ca.pem" }}',
        "absent": f'brokers = "{at["tls"]}"\ntopic = "{topic}"\ntls = {{ ca = "absent.pem" }}',
    }
    config = "".join(f'[[source]]\nkind = "kafka"\nid = "{name}"\n{rest}\n' for name, rest in tables.items())
    config += "".join(
        f'[[target]]\nkind = "kafka"\nid = "to-{name}"\n{rest}\n'
        for name, rest in tables.items()
        if name in ("good", "missing")
    )
    config += f'[export]\nbrokers = "{at["open"]}"\nscored = "{topic}"\ndead_letters = "nowhere"\n'
    (tmp_path / "newsquake.toml").write_text(f'[api]\nbind = "127.0.0.1:0"\n{config}', encoding="utf-8")
    ended = newsquake("check", "-c", "newsquake.toml", folder=tmp_path)

    def line(part: str) -> str:
        return next(each for each in ended.out.splitlines() if f" {part} " in each)

    assert ended.code == 1
    assert f"topic {topic}: 2 partitions, 0 records" in line("source good")
    assert f"topic {topic}: 2 partitions, 0 records" in line("source trusted")
    assert f"topic {topic}: 2 partitions" in line("target to-good")
    for part, said in FAILING.items():
        assert line(part).startswith("FAILED"), ended.out
        assert said in line(part)
    assert "hunter2" not in ended.out + ended.err
    assert ended.err == ""
