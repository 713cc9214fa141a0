"""The whole house: the real daemon on Kafka, PostgreSQL and feeds, while the daemon and the broker are killed."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tests.process.books import examine, examine_desk, read
from tests.process.daemon import Daemon, until
from tests.process.servers import Server, kafka, postgresql
from tests.process.topic import Writer, contents
from tests.process.world import World, world
from tests.sources.topics import World as Topics

ROUNDS = 10  # in each, broker and daemon are killed
TOPIC, PARTITIONS, GROUP = "news", 3, "desk"
SOURCE = f"""
[[source]]
id = "topic"
kind = "kafka"
brokers = "{{brokers}}"
topic = "{TOPIC}"
group = "{GROUP}"
"""


@pytest.mark.process
@pytest.mark.model
def test_a_daemon_and_a_broker_that_are_killed_lose_nothing_and_store_nothing_twice(tmp_path: Path) -> None:
    random = Random(20261124)
    with postgresql() as database, kafka() as broker:
        asyncio.run(Topics(broker).make(PARTITIONS, TOPIC))
        with world(tmp_path, database.address, random, SOURCE.format(brokers=broker.address)) as here:
            daemon, writer = here.daemon, Writer(broker.address, TOPIC, PARTITIONS, here.prose)
            with here.news_all_the_time(), writer.writing():
                for number in range(ROUNDS):
                    wait_for_news(here)
                    time.sleep(random.uniform(0.0, 2.0))
                    if number % 3 == 0:
                        lose_one_after_the_other(broker, here, random)
                    else:
                        lose_both(broker, daemon, random)
                wait_for_news(here)
            here.settle()
            written = sum(contents(broker.address, TOPIC, PARTITIONS, GROUP).ends.values())
            until(daemon, lambda: here.ledger("topic")["received"] >= written)
            assert daemon.stop() == 0, daemon.tail()
            assert "Traceback" not in daemon.log.read_text(encoding="utf-8")
            books, topic = read(database.address), contents(broker.address, TOPIC, PARTITIONS, GROUP)
            # What was acknowledged is in the topic, and what is in the topic was read once, to its end.
            assert writer.acknowledged.items() <= topic.titles.items()
            assert books.ledgers["topic"].received == sum(topic.ends.values())
            for partition, end in topic.ends.items():
                assert books.positions["topic", str(partition)]["offset"] == end
            assert topic.told == topic.ends
            assert sorted(raw.partition(b"\n")[2] for raw in books.dead["topic"]) == topic.hostile
            assert set(books.dead) == {"topic"}
            examine(books, here.handed_out() | {"topic": list(topic.titles.values())})
            examine_desk(books, here.desk)


def wait_for_news(here: World) -> None:
    """Wait until records of the topic are being stored."""
    before = here.ledger("topic")["received"]
    until(here.daemon, lambda: here.ledger("topic")["received"] > before)


def lose_both(broker: Server, daemon: Daemon, random: Random) -> None:
    """Kill the broker, the daemon while it is away, and let both come back at once."""
    broker.kill()
    time.sleep(random.uniform(0.0, 2.0))
    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(broker.start)
        time.sleep(random.uniform(0.0, 4.0))
        daemon.kill()
        daemon.start()
        back.result()


def lose_one_after_the_other(broker: Server, here: World, random: Random) -> None:
    """Let the daemon outlive the broker; kill it when it has found back to the topic."""
    broker.kill()
    time.sleep(random.uniform(0.0, 2.0))
    broker.start()
    wait_for_news(here)
    time.sleep(random.uniform(0.0, 2.0))
    here.daemon.kill()
    here.daemon.start()
