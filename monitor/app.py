"""The daemon: knows every room, hands each its own section of the configuration, and runs them together.

Start-up does all that can fail before anything is read: configuration, socket, database, model. A stop runs the other
way: no new requests, no new items, what is under way is committed, what is due is told, and the doors are closed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import structlog

from monitor import config as sections
from monitor.api.listen import address_of, listen, require_token
from monitor.api.server import ApiServer, create_app
from monitor.api.services import Submit
from monitor.assembly import Workshop, desk_of, rules_of, sources_of, targets_of
from monitor.bus.memory import MemoryBus
from monitor.canary import Canary
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.config import load as load_config
from monitor.core import canary
from monitor.core.detect.detector import STATE_VERSION
from monitor.core.detect.detector import load as load_state
from monitor.core.detect.state import with_windows
from monitor.core.incidents import Folded
from monitor.delivery.outbox import Outbox
from monitor.delivery.reconciler import Reconciler
from monitor.delivery.targets.alertmanager import AlertmanagerTarget
from monitor.errors import NewsquakeError, SourceError, StoreError
from monitor.housekeeping import Housekeeping, open_store
from monitor.lifecycle import Stopped, Supervisor, signals
from monitor.panel import Panel, door
from monitor.patience import Patience
from monitor.pipeline import Needle, Pipeline
from monitor.ports import Clock, Promotion, Remote, Source, Target
from monitor.promotion.ports import Judge
from monitor.promotion.start import begin, references
from monitor.promotion.succession import WINDOWS, Succession
from monitor.reading import SourceLevel, TargetLevel
from monitor.scoring.references import manifest_of
from monitor.scoring.reload import open_aside, open_worker
from monitor.scoring.worker import Worker
from monitor.sources.push import PushSource
from monitor.store.queries import Queries
from monitor.store.tokens import TokenTable
from monitor.systemd import ServiceManager
from monitor.telemetry import Telemetry, configure_log
from monitor.types import BUCKET, TICK, Json, Language, SignalKind, SourceId, TargetId

if TYPE_CHECKING:
    from monitor.delivery.exports import Exporter

AT_START = (  # what a running daemon does not change
    "store.url",
    "model.threads",
    "model.labels",
    "model.rescore",
    "api",
    "http",
    "limits.queue",
    "metrics",
    "export",
    "canary",
)
LAST_WORDS = 5.0  # seconds in which a stopping daemon still delivers what is due

log = structlog.get_logger()


async def run(path: Path, clock: Clock | None = None) -> None:
    """Run the daemon until SIGTERM or Ctrl-C, by the machine's clock or another. Raise what stopped it, if anything."""
    config = load_config(path)
    configure_log(config.log.level, json=config.log.format == "json")
    clock, manager = clock or SystemClock(), ServiceManager.of(os.environ)
    random = Random()  # noqa: S311 - for jitter
    daemon = Daemon(config, clock=clock, random=random, telemetry=Telemetry(), manager=manager)
    reloads: set[asyncio.Task[None]] = set()  # the loop itself keeps no hold of a task

    def reload() -> None:
        task = asyncio.create_task(daemon.reload(path))
        reloads.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        reloads.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            daemon.fail("reload", failure)

    async with manager.watched(clock):
        with signals(daemon.stop, reload):
            await daemon.start()
            try:
                await daemon.wait()
            finally:
                await daemon.close()


class Daemon:
    """One process that does everything: role `all`."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        manager: ServiceManager | None = None,
        witness: Callable[[Folded], None] | None = None,
    ) -> None:
        """`witness` is called after each commit that changed an incident; `manager` hears when it is up, and stops."""
        self.telemetry = telemetry
        self._config = config
        self._clock = clock
        self._random = random
        self._manager = manager or ServiceManager(None)
        self._witness = witness
        self._supervisor = Supervisor()
        self._changing = asyncio.Lock()  # starting, taking up a configuration and closing wait for each other
        self._workshop = Workshop(config, clock=clock, random=random, telemetry=telemetry)
        self._sources: dict[SourceId, tuple[sections.AnySource, Source]] = {}
        self._doors: dict[SourceId, Submit] = {}
        self._troubles: dict[SourceId, str] = {}
        self._exporter: Exporter | None = None
        self._outboxes: dict[TargetId, tuple[sections.AnyTarget, Target, Outbox]] = {}

    @property
    def pipeline(self) -> Pipeline:
        """The steps, once the daemon has started."""
        return self._pipeline

    @property
    def address(self) -> str:
        """Where the API listens, once the daemon has started: `http://127.0.0.1:8080`."""
        return f"http://{self._api.address}"

    @property
    def reader(self) -> Queries:
        """The read side of the store, once the daemon has started."""
        return self._reader

    def stop(self) -> None:
        """Ask for a stop; `wait` returns."""
        self._supervisor.stopping.set()

    def fail(self, part: str, failure: BaseException) -> None:
        """Stop loudly: a part failed in a way that nobody foresaw."""
        self._supervisor.fail(part, failure)

    async def wait(self) -> None:
        """Return when a stop is asked for, or a part has failed."""
        await self._supervisor.wait()

    async def start(self, *, ticking: bool = True) -> None:
        """Bring everything up, and begin to read. Whatever fails here is raised after what was opened is closed.

        A database server that is away is waited for; a stop that is asked for meanwhile ends the start.

        Without `ticking`, time passes only where somebody hands ticks to the pipeline, as a replay does.
        """
        began = time.monotonic()
        async with self._changing:
            try:
                await self._open()
            except Stopped:
                await self._supervisor.close(within=5.0)
                return
            except BaseException:
                await self._supervisor.close(within=5.0)
                raise
            self._begin(ticking=ticking)
        self._manager.ready(self._status())
        log.info(
            "ready",
            address=self.address,
            sources=len(self._sources),
            model=self._worker.model,
            seconds=round(time.monotonic() - began, 1),
        )

    async def close(self) -> None:
        """Finish what is under way, within `limits.drain`, and close. Raise what made a part fail, if one did."""
        async with self._changing:
            self._manager.stopping()
            await self._supervisor.close(within=self._config.limits.drain.total_seconds())

    async def reload(self, path: Path) -> None:
        """Take up a changed configuration file. One with a mistake in it changes nothing, and the log says why.

        While the daemon starts, or takes up another change, this waits; once it stops, nothing is taken up any more.
        """
        async with self._changing:
            if not self._supervisor.stopping.is_set():
                self._manager.reloading()
                await self._take_up(path)
                self._manager.ready(self._status())

    def _status(self) -> str:
        sources, targets = len(self._sources), len(self._outboxes)
        return f"{sources} sources, {targets} targets, model {self._worker.model}, {self.address}"

    async def _take_up(self, path: Path) -> None:
        try:
            config = load_config(path)
            desk, rules = desk_of(config), rules_of(config)
            running = [section for section, _ in self._sources.values()]
            changed = [section for section in sources_of(config) if section not in running]
            sources = [(section, self._workshop.source(section)) for section in changed]
            told = [section for section, _, _ in self._outboxes.values()]
            targets = [(each, self._workshop.target(each)) for each in targets_of(config) if each not in told]
        except NewsquakeError as error:
            self.telemetry.config_reload_successful.set(0)
            log.error("the configuration is refused; the old one stays in force", error=str(error))  # noqa: TRY400
            return
        for key in AT_START:
            if attrgetter(key)(config) != attrgetter(key)(self._config):
                log.warning("this change needs a restart", key=key)
        # From here on nothing can fail.
        configure_log(config.log.level, json=config.log.format == "json")
        self._pipeline.desk = replace(desk, exports=self._pipeline.desk.exports)
        self._needle.obey(rules)
        self._succession.default = config.model.reference
        wanted = {SourceId(section.id): section for section in sources_of(config)}
        for id_, (section, _) in list(self._sources.items()):
            if wanted.get(id_) != section:
                await self._end_source(id_)
        for section, source in sources:
            self._place_source(section, source)
            self._begin_source(source.id)
        kept = {TargetId(section.id): section for section in targets_of(config)}
        for target, (section_, _, _) in list(self._outboxes.items()):
            if kept.get(target) != section_:
                await self._end_outbox(target)
        for section_, each in targets:
            self._place_target(section_, each)
            self._begin_outbox(each.id)
        self._config = config
        self._supervisor.spawn("messages of targets that went", self._messages_left(), ends=True)
        self.telemetry.config_reload_successful.set(1)
        log.info("the configuration was read again", sources_changed=len(sources))

    async def _open(self) -> None:
        """Do everything that can fail."""
        config = self._config
        self._supervisor.on_teardown("connections", self._workshop.close)
        desk = desk_of(config)
        targets = [(section, self._workshop.target(section)) for section in targets_of(config)]
        sources = [(section, self._workshop.source(section)) for section in sources_of(config)]
        address = address_of(config.api.bind)
        listen(address).close()  # a port in use is told before the database is touched and the model loaded
        opening = open_store(config.store.url, self._clock, self.telemetry)
        self._store = await self._supervisor.unless_stopped(opening)
        self._supervisor.on_teardown("store", self._store.close)
        self._housekeeping = Housekeeping(
            store=self._store,
            clock=self._clock,
            telemetry=self.telemetry,
            retention=lambda: self._config.store.retention,
            targets=lambda: tuple(self._outboxes),
        )
        tokens = TokenTable(self._store.reader, self._clock)
        require_token(address, (await tokens.by_hash()).values(), self._clock.now())
        await self._store.own("all")
        reference, self._worker = await self._open_model(await self._store.promotions())
        self._supervisor.on_teardown("model", self._worker.close)
        rows, version = await self._store.load_state()
        if version not in (None, STATE_VERSION):
            raise StoreError(
                f"detector_state: found checkpoint version {version}; this newsquake reads version {STATE_VERSION}"
            )
        now = self._clock.now()
        learned = load_state(rules_of(config), rows, ())
        rollups = await self._store.rollups(now - WINDOWS, now + BUCKET, learned.pulse.model)
        state = await begin(
            self._store,
            with_windows(learned, rollups),
            model=self._worker.model,
            reference=reference,
            manifest=manifest_of(reference),
            default=config.model.reference,
            now=now,
        )
        self._needle = Needle(state)
        self._pipeline = Pipeline(
            bus=MemoryBus(config.limits.queue),
            store=self._store,
            scorer=self._worker,
            needle=self._needle,
            desk=desk,
            clock=self._clock,
            telemetry=self.telemetry,
            told=self._told,
        )
        self._succession = Succession(
            store=self._store,
            seat=self._worker,
            open_=self._open_aside,
            way=self._pipeline,
            clock=self._clock,
            telemetry=self.telemetry,
            horizon=config.model.rescore,
            default=config.model.reference,
        )
        async with self._store.transaction() as transaction:
            open_incidents = await transaction.open_incidents()
        self._canary_silent = any(canary.KEY in incident.active for incident in open_incidents)
        self._panel = Panel(
            pipeline=self._pipeline,
            scorer=self._worker,
            clock=self._clock,
            telemetry=self.telemetry,
            sources=self._source_levels,
            targets=self._target_levels,
            open_incidents=open_incidents,
            refused=lambda: self._succession.trouble,
        )
        self.telemetry.watch(self._panel.live, max_keys=config.metrics.max_keys)
        self.telemetry.model_info.labels(self._worker.model).set(1)
        self._reader = Queries(self._store.reader)
        services = self._panel.services(self._store, self._reader, self._doors, tokens, self._supervisor.stopping)
        app = create_app(
            services, hosts=config.api.hosts, max_body=config.api.max_body, closed=not address.ip.is_loopback
        )
        self._api = ApiServer(app, address)
        self._api.bind()
        for section, source in sources:
            self._place_source(section, source)
        for section_, target in targets:
            self._place_target(section_, target)
        if config.export is not None:
            self._exporter = self._workshop.exporter(config.export, self._store)

    async def _open_model(self, rows: Sequence[Promotion]) -> tuple[str, Worker]:
        """Open the model that is to serve, from the first place that holds a good one; raise why the last does not."""
        model = self._config.model
        *first, last = references(rows, model.reference)
        for reference in first:
            try:
                return reference, await self._worker_of(reference)
            except NewsquakeError as error:
                log.warning("the recalled model cannot be opened", reference=reference, error=str(error))
        return last, await self._worker_of(last)

    async def _worker_of(self, reference: str) -> Worker:
        model = self._config.model
        return await open_worker(reference, labels=model.labels, threads=model.threads or None, clock=self._clock)

    async def _open_aside(self, reference: str) -> tuple[Judge, Mapping[str, Json]]:
        """Open a model, verified and warm, and let it stand by."""
        section = self._config.model
        model = await open_aside(reference, labels=section.labels, threads=section.threads or None)
        self._worker.stand_by(model)
        return model, manifest_of(reference)

    def _begin(self, *, ticking: bool) -> None:
        """Set everything in motion. The teardown runs from the last line to the first."""
        spawn, teardown = self._supervisor.spawn, self._supervisor.on_teardown
        teardown("steps", self._supervisor.cancel_all)
        teardown("messages", self._tell_what_is_due)
        teardown("exports", self._end_exports)
        teardown("sources", self._end_sources)  # who hears of each commit, as a Kafka topic does, hears of the last
        teardown("items under way", self._drain)
        teardown("reading", self._end_reading)
        teardown("interface", self._end_api)
        for step in (self._pipeline.collect, self._pipeline.score, self._pipeline.watch):
            spawn(step.__name__, step())
        for target in self._outboxes:
            self._begin_outbox(target)
        for source in self._sources:
            self._begin_source(source)
        spawn("interface", self._api.serve())
        if self._exporter is not None:
            spawn("exports", self._exporter.run())
        heartbeat = self._workshop.heartbeat(self._panel.well)
        if heartbeat is not None:
            spawn("heartbeat", heartbeat.run())
        spawn("housekeeping", self._housekeeping.run())
        self._begin_canary()
        if ticking:
            spawn("ticks", self._tick())
            spawn("models", self._succession.run())

    # --- what runs ---

    def _begin_canary(self) -> None:
        """Plant canaries, where that is asked for; else end the silence of those of earlier days."""
        section = self._config.canary
        if section is not None:
            planting = Canary(
                every=section.every,
                within=section.within,
                languages=[Language(each) for each in section.languages],
                silent=self._canary_silent,
                way=self._pipeline,
                model=lambda: self._worker.model,
                clock=self._clock,
                telemetry=self.telemetry,
            )
            self._supervisor.spawn("canary", planting.run())
        elif self._canary_silent:
            over = canary.signal(SignalKind.SEEING, self._clock.now(), BUCKET, self._worker.model)
            self._supervisor.spawn("canary", self._pipeline.tell([over]), ends=True)

    async def _read(self, source: Source) -> None:
        """Hand what a source yields to the pipeline. A source that cannot be read is told; the daemon goes on."""
        try:
            resume = await self._patience("sources").insist(lambda: self._store.positions(source.id))
            async with aclosing(source.batches(resume)) as batches:
                async for batch in batches:
                    await self._pipeline.submit(batch)
        except SourceError as error:
            self._troubles[source.id] = str(error)
            log.error("a source is given up until the next start", source=source.id, error=str(error))  # noqa: TRY400

    async def _tick(self) -> None:
        """Hand the pipeline each full minute, UTC; at the start the present one, unless a restart comes within it."""
        told = await self._patience("ticks").insist(self._store.last_tick)
        while True:
            minute = self._clock.now().replace(second=0, microsecond=0)
            if told is None or told < minute:
                await self._pipeline.tick(minute)
                told = minute
            await self._clock.sleep((minute + TICK - self._clock.now()).total_seconds())

    async def _messages_left(self) -> None:
        await self._patience("retention").insist(self._housekeeping.look_after_messages)

    async def _told(self, folded: Folded) -> None:
        self._panel.took(folded)
        if self._witness is not None:
            self._witness(folded)
        for _, _, outbox in self._outboxes.values():
            outbox.wake()

    def _patience(self, part: str) -> Patience:
        return Patience(part, clock=self._clock, telemetry=self.telemetry)

    # --- sources and targets come and go ---

    def _place_source(self, section: sections.AnySource, source: Source) -> None:
        self._sources[SourceId(section.id)] = (section, source)
        self.telemetry.expect_source(source.id)
        if isinstance(source, PushSource):
            self._doors[source.id] = door(source, self._clock)

    def _begin_source(self, id_: SourceId) -> None:
        _, source = self._sources[id_]
        self._supervisor.spawn(f"source {id_}", self._read(source), ends=True)

    async def _end_source(self, id_: SourceId) -> None:
        _, source = self._sources.pop(id_)
        self._doors.pop(id_, None)
        self._troubles.pop(id_, None)
        await self._supervisor.cancel(f"source {id_}")
        await source.close()

    def _place_target(self, section: sections.AnyTarget, target: Target | AlertmanagerTarget) -> None:
        if isinstance(target, AlertmanagerTarget):
            target = Reconciler(target, store=self._store, clock=self._clock, telemetry=self.telemetry)
        outbox = Outbox(
            target=target,
            store=self._store,
            clock=self._clock,
            random=self._random,
            telemetry=self.telemetry,
        )
        self._outboxes[TargetId(section.id)] = (section, target, outbox)

    def _begin_outbox(self, id_: TargetId) -> None:
        _, target, outbox = self._outboxes[id_]
        self._supervisor.spawn(f"outbox {id_}", outbox.run())
        if isinstance(target, Reconciler):
            self._supervisor.spawn(f"reconciler {id_}", target.run())

    async def _end_outbox(self, id_: TargetId) -> None:
        _, target, outbox = self._outboxes.pop(id_)
        async with outbox.between_rounds():  # a message that was accepted is noted as such
            await self._supervisor.cancel(f"outbox {id_}")
            await self._supervisor.cancel(f"reconciler {id_}")
        await target.close()

    def _source_levels(self) -> Sequence[SourceLevel]:
        return [
            SourceLevel(
                id=id_,
                kind=section.kind,
                last_success=source.success if isinstance(source, Remote) else None,
                error=self._troubles.get(id_) or (source.error if isinstance(source, Remote) else None),
            )
            for id_, (section, source) in self._sources.items()
        ]

    def _target_levels(self) -> Sequence[TargetLevel]:
        return [
            TargetLevel(id=id_, kind=section.kind, undelivered=outbox.undelivered)
            for id_, (section, _, outbox) in self._outboxes.items()
        ]

    # --- the end ---

    async def _end_api(self) -> None:
        if not self._supervisor.failed:  # pushes under way are answered after their commit, which still comes
            await self._api.stop(self._config.limits.drain.total_seconds() / 2)

    async def _end_reading(self) -> None:
        await self._supervisor.cancel("canary")
        for id_ in self._sources:
            await self._supervisor.cancel(f"source {id_}")

    async def _end_sources(self) -> None:
        for id_ in list(self._sources):
            await self._end_source(id_)

    async def _drain(self) -> None:
        if not self._supervisor.failed:
            await self._supervisor.unless_broken(self._pipeline.drained())

    async def _end_exports(self) -> None:
        if self._exporter is None:
            return
        await self._supervisor.cancel("exports")
        if not self._supervisor.failed:
            with suppress(TimeoutError):  # what is left stays in the store for the next start
                async with asyncio.timeout(LAST_WORDS):
                    await self._exporter.drain()
        await self._exporter.close()

    async def _tell_what_is_due(self) -> None:
        if not self._supervisor.failed:
            await asyncio.gather(*(outbox.drain(LAST_WORDS) for _, _, outbox in self._outboxes.values()))
