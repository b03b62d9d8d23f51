"""Spark: a part, a file, a channel is a task each, done by the functions that run here. The only file that imports pyspark.

Workers read parts and the context by path, and write parts; the driver alone opens the catalogue. A task may run twice: what it
writes takes its place in one step, and a second writer brings the same bytes. Rows of users do not go through the JVM: each pass
would pay for the way there and back, and lists of unsigned numbers would come back as something else.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.serializers import CPickleSerializer
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from notif_rec.engines.engine import Progress, R, T, Task
from notif_rec.engines.part import run_part
from notif_rec.engines.spark_failure import failure_of, revived, told
from notif_rec.errors import ConfigError, NotifRecError

TRIES = 4  # of a task, before the run gives up
POLL_S = 0.25
DONE = pa.schema([("place", pa.int64()), ("failure", pa.string()), ("result", pa.binary())])
PASS = CPickleSerializer()  # Spark's own way between its processes
QUIET = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
}


class SparkEngine:
    """An engine over a Spark session. log: where Spark writes what it has to say."""

    apart = True

    def __init__(self, session: SparkSession, log: Path) -> None:
        self.session, self.log = session, log
        self.threads = int(session.sparkContext.getConf().get("spark.task.cpus", "1") or 1)

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """As Engine.map_parts; at most spark.sql.execution.arrow.maxRecordsPerBatch users at a time."""
        sink.mkdir(parents=True, exist_ok=True)
        most = int(self.session.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") or 0)
        work = _Part(task, sink, context, most if most > 0 else None)
        missing = [part for part in parts if not (sink / part.name).exists()]
        list(self.each(work, missing, "plan", progress))
        return [sink / part.name for part in parts]

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        """As Engine.each; a thing is a task of Spark's."""
        n = len(things)
        if not n:
            return
        done = self.session.range(0, n, 1, n).mapInArrow(partial(_do, work, list(things)), from_arrow_schema(DONE))
        for row in sorted(self._watched(done.collect, stage, n, progress), key=lambda row: row.place):
            if row.failure:
                raise revived(row.failure)
            yield PASS.loads(row.result)

    def refuse_hidden(self, folder: Path) -> None:
        """ConfigError where an executor does not see `folder`, by writing a file there and looking for it from every side."""
        folder = folder.resolve()
        probe = folder / f".seen-{os.getpid()}"
        probe.touch(mode=0o600)
        try:
            looks = 2 * self.session.sparkContext.defaultParallelism
            blind = {host for host, seen in self.each(_look, [probe] * looks, "look", _silent) if not seen}
        finally:
            probe.unlink(missing_ok=True)
        if blind:
            fix = "let segments, models and tmp of the store be links to a disk that all machines mount, or use --engine local"
            raise ConfigError(f"{folder}: Spark's executors do not see it ({', '.join(sorted(blind))})", fix)

    def _watched(self, job: Callable[[], list[Any]], stage: str, total: int, progress: Progress) -> list[Any]:
        """What a job returns; tells how many of its tasks are done while it runs, and ends it where this process is stopped."""
        context, group = self.session.sparkContext, f"{stage}-{time.monotonic_ns()}"
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_grouped, context, group, job)
            try:
                while not _settled(running):
                    progress(stage, min(_tasks_done(context, group), total), total)
                rows = running.result()
            except (Py4JError, PySparkException) as error:
                raise failure_of(str(error), stage, self.log) from error
            except BaseException:
                context.cancelJobGroup(group)
                raise
        progress(stage, total, total)
        return rows


def open_spark(master: str, settings: Mapping[str, str], root: Path) -> SparkEngine:
    """An engine over the session of this process, or a new one that logs to `root`/spark.log; settings: Spark's own, by name.

    ConfigError where Spark does not start, or where its executors do not see `root`, the store's folder.
    """
    log = root / "spark.log"
    session = SparkSession.getActiveSession() or _started(master, settings, log)
    for name, value in settings.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
    engine = SparkEngine(session, log)
    if master != "local" and not master.startswith("local["):
        for name in ("segments", "models", "tmp"):
            engine.refuse_hidden(root / name)
    return engine


def _started(master: str, settings: Mapping[str, str], log: Path) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = SparkConf().setAppName("notif-rec").setMaster(patient(master)).setAll([*{**QUIET, **settings}.items()])
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
        session = SparkSession(SparkContext(gateway=gateway, conf=conf))
    except (Py4JError, PySparkException, OSError) as error:
        fix = f"{log} has what it said; `notif-rec doctor` checks Java and pyspark, engine.master and engine.settings are yours"
        raise ConfigError(f"Spark does not start on {master}: {str(error).splitlines()[0]}", fix) from error
    atexit.register(session.stop)  # a cluster would call the run a failure otherwise
    return session


def patient(master: str) -> str:
    """`local[2]` as `local[2,4]`: on one machine too, a task whose worker was killed is tried again."""
    alone = {"local": "local[1]"}.get(master, master)
    return f"{alone[:-1]},{TRIES}]" if alone.startswith("local[") and "," not in alone else alone


@dataclass(frozen=True)
class _Part:
    """Works on a part; rows: users at a time."""

    task: Task
    sink: Path
    context: Path
    rows: int | None

    def __call__(self, part: Path) -> None:
        run_part(self.task, part, self.sink / part.name, self.context, self.rows)


def _do(work: Callable[[T], R], things: Sequence[T], numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What `work` returns of the things with these numbers, or how it failed for a reason of ours, which a second try would meet again."""
    for place in (number for batch in numbers for number in batch.column(0).to_pylist()):
        result, failure = None, None
        try:
            result = work(things[place])
        except NotifRecError as error:
            failure = told(error)
        yield pa.RecordBatch.from_pylist([{"place": place, "failure": failure, "result": PASS.dumps(result)}], DONE)


def _look(path: Path) -> tuple[str, bool]:
    return os.uname().nodename, path.is_file()


def _silent(stage: str, done: int, total: int) -> None:
    return None


def _grouped(context: SparkContext, group: str, job: Callable[[], list[Any]]) -> list[Any]:
    context.setJobGroup(group, group, interruptOnCancel=False)
    return job()


def _settled(running: Future[list[Any]]) -> bool:
    """Whether a job has ended, after a short wait."""
    try:
        running.exception(timeout=POLL_S)
    except TimeoutError:
        return running.done()
    return True


def _tasks_done(context: SparkContext, group: str) -> int:
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
    stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    return sum(stage.numCompletedTasks for stage in stages if stage)
