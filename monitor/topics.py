"""From the configuration to what reads and writes topics. Imported only where a cluster is named: Kafka is an extra."""

from __future__ import annotations

from random import Random

from monitor import config as sections
from monitor.config import reveal
from monitor.delivery.exports import Exporter
from monitor.delivery.producer import Producer
from monitor.delivery.targets.kafka import KafkaTarget
from monitor.kafka import Cluster, Sasl, look_up, trusting
from monitor.ports import Clock, ExportStore
from monitor.sources.kafka import KafkaSource, Topic
from monitor.sources.kafka_reader import TopicReader
from monitor.sources.records import field_names
from monitor.telemetry import Telemetry
from monitor.types import SourceId, TargetId


def cluster_of(section: sections.KafkaCluster, where: str) -> Cluster:
    """Return how the cluster of a section is reached; its password is read here, and kept in clear only there.

    Raise ConfigurationError where a password is not there, or a certificate cannot be read.
    """
    sasl = tls = None
    if section.sasl is not None:
        password = reveal(section.sasl.password, f"{where}: sasl.password")
        sasl = Sasl(mechanism=section.sasl.mechanism, username=section.sasl.username, password=password)
    if section.tls is not None:
        tls = trusting(section.tls.ca, section.tls.certificate, section.tls.key)
    return Cluster(brokers=section.brokers, sasl=sasl, tls=tls)


def source_of(section: sections.KafkaSource, *, clock: Clock, random: Random, telemetry: Telemetry) -> KafkaSource:
    """Build a source from its section."""
    topic = Topic(
        cluster=cluster_of(section, f"source {section.id!r}"),
        name=section.topic,
        group=section.group,
        latest=section.start == "latest",
        fields=section.fields,
    )
    return KafkaSource(SourceId(section.id), topic, clock=clock, random=random, telemetry=telemetry)


def target_of(section: sections.KafkaTarget) -> KafkaTarget:
    """Build a target from its section."""
    producer = Producer(cluster_of(section, f"target {section.id!r}"))
    return KafkaTarget(TargetId(section.id), section.topic, producer=producer)


def exporter_of(
    section: sections.ExportSection, *, store: ExportStore, clock: Clock, random: Random, telemetry: Telemetry
) -> Exporter:
    """Build what brings scored articles and dead letters to their topics."""
    return Exporter(
        topics=section.topics,
        producer=Producer(cluster_of(section, "export")),
        store=store,
        clock=clock,
        random=random,
        telemetry=telemetry,
    )


async def look_at_source(section: sections.KafkaSource) -> str:
    """Sign in, find the topic and say how much is in it; raise what is wrong."""
    cluster = cluster_of(section, f"source {section.id!r}")
    field_names(section.fields)
    reader = await TopicReader.open(cluster, section.topic, section.group)
    try:
        bounds = await reader.bounds()
    finally:
        await reader.close()
    kept = sum(each.end - each.first for each in bounds.values())
    return f"topic {section.topic}: {len(bounds)} partitions, {kept:,} records"


async def look_at_target(section: sections.KafkaTarget) -> str:
    """Sign in and find the topic; nothing is written, so that whether we may is not known."""
    return await _look(cluster_of(section, f"target {section.id!r}"), section.topic)


async def look_at_export(section: sections.ExportSection) -> str:
    """Sign in and find the topics; nothing is written, so that whether we may is not known."""
    cluster = cluster_of(section, "export")
    return "; ".join([await _look(cluster, topic) for topic in section.topics.values()])


async def _look(cluster: Cluster, topic: str) -> str:
    return f"topic {topic}: {len(await look_up(cluster, topic))} partitions"
