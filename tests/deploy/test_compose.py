"""The compose file, held together as far as that goes without an engine: what it names is there, and agrees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]  # it carries no types
from sqlalchemy import make_url

from monitor import config as sections
from monitor.api.listen import address_of
from monitor.config import Config, load
from tests.alerting import required
from tests.process.servers import lacking

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
SECRETS = "/run/secrets/"
HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"


def parsed(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


COMPOSE: Any = parsed("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.fixture
def newsquake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    """The configuration as the container sees it, its secret elsewhere."""
    environment = SERVICES["newsquake"]["environment"]
    assert environment == {"NEWSQUAKE_STORE_PASSWORD": f"file:{SECRETS}postgres-password"}
    (tmp_path / "password").write_text("s3cret\n", encoding="utf-8")
    monkeypatch.setenv("NEWSQUAKE_STORE_PASSWORD", f"file:{tmp_path}/password")
    return load(FOLDER / "newsquake.toml")


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for each in service.get("volumes", ()):
        source, target, *_ = each.split(":")
        yield source, target


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_built_here_or_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image == "newsquake" or re.search(r":v?\d+\.\d+(\.\d+)?$", image), image
    assert "." not in image.split("/")[0].split(":")[0], "names of images, no names of hosts"


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_is_mounted_is_there(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    for secret in SERVICES[name].get("secrets", ()):
        assert secret in COMPOSE["secrets"]


def test_nothing_is_declared_in_vain() -> None:
    used = {source for service in SERVICES.values() for source, _ in mounts(service)}
    assert set(COMPOSE["volumes"]) <= used
    assert set(COMPOSE["secrets"]) == {each for service in SERVICES.values() for each in service.get("secrets", ())}
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    for secret in COMPOSE["secrets"].values():
        assert f"> {secret['file']}" in told, "the README says how each secret is made"


def test_who_is_waited_for_can_be_waited_for() -> None:
    built = (FOLDER / "../container/Containerfile").read_text(encoding="utf-8")
    checked = {name for name, each in SERVICES.items() if "healthcheck" in each}
    checked |= {"newsquake"} if "\nHEALTHCHECK" in built else set()
    waited = [each for service in SERVICES.values() for each in service.get("depends_on", {}).items()]
    assert {other for other, wanted in waited if wanted["condition"] == HEALTHY} <= checked
    done = [other for other, wanted in waited if wanted["condition"] == COMPLETED]
    assert done == ["schema", "topics"]
    assert not any("restart" in SERVICES[other] for other in done), "what restarts for ever never completes"


def test_only_this_machine_reaches_the_services() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_secrets_that_are_read_are_shown(newsquake: Config) -> None:
    for service in SERVICES.values():
        for value in service.get("environment", {}).values():
            if SECRETS in str(value):
                assert str(value).rpartition("/")[2] in service["secrets"]
    assert parsed("prometheus.yml")["scrape_configs"][0]["authorization"] == {
        "credentials_file": f"{SECRETS}{SERVICES['prometheus']['secrets'][0]}"
    }
    assert make_url(newsquake.store.url).password == "s3cret"


def test_newsquake_finds_its_database_and_topic(newsquake: Config) -> None:
    place, server = make_url(newsquake.store.url), SERVICES["postgresql"]["environment"]
    assert (place.host, place.port) == ("postgresql", None)
    assert (place.username, place.database) == (server["POSTGRES_USER"], server["POSTGRES_DB"])
    [source] = [each for each in newsquake.source if isinstance(each, sections.KafkaSource)]
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{source.brokers}"
    assert source.topic in SERVICES["topics"]["command"]
    assert source.brokers in SERVICES["topics"]["entrypoint"]
    assert source.brokers in SERVICES["kafka"]["healthcheck"]["test"]


def test_newsquake_may_call_whom_it_is_to_call_and_is_called_by_its_name(newsquake: Config) -> None:
    urls = [target.url for target in newsquake.target if isinstance(target, sections.AlertmanagerTarget)]
    urls.append(str(newsquake.metrics.prometheus))
    for url, port in zip(urls, (9093, 9090), strict=True):
        place = urlsplit(url)
        assert place.hostname in SERVICES
        assert place.hostname in newsquake.http.allow_private
        assert place.port == port, "the image's own port"
    host, _, port_ = parsed("prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0].partition(":")
    assert host in newsquake.api.hosts
    assert host in SERVICES
    address = address_of(newsquake.api.bind)
    assert str(address.port) == port_
    assert SERVICES["newsquake"]["ports"] == [f"127.0.0.1:{port_}:{port_}"]
    assert not address.ip.is_loopback, "Prometheus calls from another container"


def test_grafana_is_told_where_its_files_and_its_data_are() -> None:
    service = SERVICES["grafana"]
    where = dict(mounts(service))
    providers = parsed("../grafana/provisioning/dashboards/newsquake.yml")
    assert providers["providers"][0]["options"]["path"] == where["../grafana/dashboards"]
    data = (FOLDER / "../grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    for name in re.findall(r"\$\{(\w+)\}", data):
        assert urlsplit(service["environment"][name]).hostname in SERVICES


def test_promtool_and_amtool_find_no_mistake(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(text.replace(SECRETS, f"{tmp_path}/"), encoding="utf-8")
    (tmp_path / SERVICES["prometheus"]["secrets"][0]).write_text("nq_1\n", encoding="utf-8")
    for source, target in mounts(SERVICES["prometheus"]):
        if target.endswith(".rules.yml"):
            shutil.copy(FOLDER / source, tmp_path / Path(target).name)
    for program, *command in (
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        ["amtool", "check-config", str(FOLDER / "alertmanager.yml")],
    ):
        done = subprocess.run([required(program), *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_kafkas_own_start_reads_its_environment(tmp_path: Path) -> None:
    """What the image runs first: it writes the broker's configuration from the environment and formats its disk."""
    cache = os.environ.get("NEWSQUAKE_SERVERS", Path.home() / ".cache/newsquake/servers")
    if not list(Path(cache).glob("kafka/kafka_*.jar")) or shutil.which("java") is None:
        lacking("Kafka is not installed")
    command = ["java", "-cp", f"{cache}/kafka/*", "kafka.docker.KafkaDockerWrapper", "setup"]
    for name in ("default", "mounted", "final"):
        (tmp_path / name).mkdir()
        command += [f"--{name}-configs-dir", str(tmp_path / name)]
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "default" / name).touch()
    given = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    done = subprocess.run(
        command,
        env={**os.environ, **given, "KAFKA_LOG_DIRS": str(tmp_path / "data")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cluster.id={given['CLUSTER_ID']}" in (tmp_path / "data" / "meta.properties").read_text(encoding="utf-8")


def test_docker_compose_reads_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        [docker, "compose", "-f", FOLDER / "compose.yaml", "config", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
