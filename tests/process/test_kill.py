"""The promises across power cuts: the real daemon on real feeds, pushes and a webhook, killed again and again."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.process.books import examine, examine_desk, read
from tests.process.servers import postgresql
from tests.process.world import world

KILLS = 12
ROUNDS = 5  # of a daemon killed and a database killed


@pytest.mark.process
@pytest.mark.model
def test_killed_again_and_again_it_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    random, store = Random(20261122), f"sqlite:///{tmp_path}/newsquake.db"
    with world(tmp_path, store, random) as here:
        daemon = here.daemon
        with here.news_all_the_time():
            for number in range(KILLS):
                time.sleep(random.uniform(0.1, 4.0))
                daemon.kill()
                daemon.start(wait=number % 3 != 0)  # every third time it may be killed while it starts
            daemon.wait_ready()
            time.sleep(3.0)
        here.settle()
        assert daemon.stop() == 0, daemon.tail()
        assert "Traceback" not in daemon.log.read_text(encoding="utf-8")
        books = read(store)
        examine(books, here.handed_out())
        examine_desk(books, here.desk)
        assert books.dead == {}
        assert len(books.titles["past"]) == here.past
        assert here.pusher.outcomes <= {"stored", "duplicate"}


@pytest.mark.process
@pytest.mark.model
def test_on_postgresql_neither_a_daemon_nor_a_server_that_is_killed_loses_anything(tmp_path: Path) -> None:
    random = Random(20261123)
    with postgresql() as server, world(tmp_path, server.address, random) as here:
        daemon = here.daemon
        with here.news_all_the_time():
            for _ in range(ROUNDS):
                time.sleep(random.uniform(0.1, 3.0))
                daemon.kill()
                daemon.start()
                time.sleep(random.uniform(0.1, 3.0))
                server.kill()
                time.sleep(random.uniform(0.0, 2.0))
                server.start()
            time.sleep(3.0)
        here.settle()
        assert daemon.stop() == 0, daemon.tail()
        assert "Traceback" not in daemon.log.read_text(encoding="utf-8")
        books = read(server.address)
        examine(books, here.handed_out())
        examine_desk(books, here.desk)
        assert books.dead == {}
        assert len(books.titles["past"]) == here.past
