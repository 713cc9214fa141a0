"""How much of the bare model's speed the whole daemon keeps when it reads a topic of a real broker.

    tests/servers/install                 # once: the broker
    python benchmarks/from_kafka.py [--articles 3000] [--partitions 4]

The baseline is that of end_to_end.py: the model alone, in this process, on the same texts and companies. Then a broker
and `newsquake run` are started as processes of their own, on a fresh database, and the same articles are written to a
topic as fast as the broker takes them. The clock runs from the first record written to the commit of the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from end_to_end import articles, bare, daemon, resident, wait_for

from monitor.types import Json

SCRIPT = Path(__file__).parents[1] / "tests/servers/kafka"
TOPIC = "news"
WARM = 100  # articles read before the clock starts
MODEL_ALONE = 3000  # articles for the baseline at most


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run a broker; yields its address."""
    started = subprocess.run([SCRIPT, "start", folder], check=True, stdout=subprocess.PIPE, text=True)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


async def make_topic(address: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, partitions, 1)])
    await admin.close()


async def write(address: str, made: Sequence[dict[str, Json]]) -> None:
    """Write articles, spread evenly over the partitions by their ids."""
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=5)
    await producer.start()
    sent = [await producer.send(TOPIC, json.dumps(each).encode(), key=str(each["id"]).encode()) for each in made]
    await asyncio.gather(*sent)
    await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=3000)
    parser.add_argument("--partitions", type=int, default=4)
    arguments = parser.parse_args()
    made = articles(arguments.articles)
    alone = bare(made[:MODEL_ALONE])
    with tempfile.TemporaryDirectory(prefix="newsquake-bench-") as name, broker(Path(name) / "kafka") as brokers:
        asyncio.run(make_topic(brokers, arguments.partitions))
        source = f'[[source]]\nid = "wire"\nkind = "kafka"\nbrokers = "{brokers}"\ntopic = "{TOPIC}"\n'
        with daemon(Path(name), source) as (address, pid, ready):
            asyncio.run(write(brokers, [{**each, "id": f"warm-{each['id']}"} for each in made[:WARM]]))
            wait_for(address, "wire", WARM)
            began = time.perf_counter()
            asyncio.run(write(brokers, made))
            written = time.perf_counter() - began
            wait_for(address, "wire", WARM + len(made))
            whole = len(made) / (time.perf_counter() - began)
            memory = resident(pid)
    print(f"machine: {platform.machine()}, {platform.platform()}; {datetime.now(UTC):%Y-%m-%d}")
    print(f"ready after          {ready:8.1f} s; all written to the topic after {written:.1f} s")
    print(f"bare model           {alone:8.1f} articles/s (each whole and for its companies)")
    print(f"daemon, from Kafka   {whole:8.1f} articles/s ({arguments.partitions} partitions)")
    print(f"ratio                {whole / alone:8.2f}")
    print(f"resident memory      {memory:8.0f} MB")


if __name__ == "__main__":
    main()
