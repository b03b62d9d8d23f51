"""Spark: a part is a task, and its users are rows that Spark cuts into batches as it likes. The only file that imports pyspark.

Workers read parts and the context by path, and write parts; the driver alone opens the catalogue. A task may run twice: what it
writes takes its place in one step, and a second writer brings the same bytes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext, TaskContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from notif_rec.engines.door import conform, plain_schema, to_plain
from notif_rec.engines.engine import Progress, R, T, Task, read_part, write_part
from notif_rec.engines.local import cached_context
from notif_rec.engines.spark_failure import failure_of, revived, told
from notif_rec.errors import ConfigError, NotifRecError
from notif_rec.models.blas import one_blas_thread

ROWS = 8192  # users that go through the door at a time
TRIES = 4  # of a task, before the run gives up
POLL_S = 0.25
MADE = pa.schema([("part", pa.int32()), ("failure", pa.string())])
QUIET = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}


class SparkEngine:
    """An engine over a Spark session. log: where Spark writes what it has to say."""

    apart = True

    def __init__(self, session: SparkSession, log: Path) -> None:
        self.session, self.log = session, log
        self.threads = int(session.sparkContext.getConf().get("spark.task.cpus", "1") or 1)

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """As Engine.map_parts."""
        sink.mkdir(parents=True, exist_ok=True)
        targets = [sink / part.name for part in parts]
        missing = [number for number, target in enumerate(targets) if not target.exists()]
        if missing:
            users = self._numbers(len(missing)).mapInArrow(
                partial(_open_parts, [parts[n] for n in missing], task), from_arrow_schema(plain_schema(task.reads))
            )
            written = users.mapInArrow(partial(_fill_part, task, [targets[n] for n in missing], context), from_arrow_schema(MADE))
            for row in self._watched(written.collect, "plan", len(missing), progress):
                if row.failure:
                    raise revived(row.failure)
        return targets

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        """As Engine.each."""
        if not things:
            return
        tasks = self.session.sparkContext.parallelize(list(things), len(things)).map(partial(_done, work))
        for result, failure in self._watched(tasks.collect, stage, len(things), progress):
            if failure:
                raise revived(failure)
            yield result

    def refuse_hidden(self, folder: Path) -> None:
        """ConfigError where an executor does not see `folder`, by writing a file there and looking for it from every side."""
        probe = folder / f".seen-{os.getpid()}"
        probe.touch(mode=0o600)
        try:
            looks = 2 * self.session.sparkContext.defaultParallelism
            blind = {host for host, seen in self.each(_look, [probe] * looks, "look", _silent) if not seen}
        finally:
            probe.unlink(missing_ok=True)
        if blind:
            fix = "put the store on a disk that driver and executors mount at the same path, or run --engine local"
            raise ConfigError(f"{folder}: Spark's executors do not see it ({', '.join(sorted(blind))})", fix)

    def _numbers(self, n: int) -> DataFrame:
        """0 … n − 1, each a task of its own."""
        return self.session.range(0, n, 1, n)

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
    if not master.startswith("local"):
        engine.refuse_hidden(root)
    return engine


def _started(master: str, settings: Mapping[str, str], log: Path) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = SparkConf().setAppName("notif-rec").setMaster(patient(master)).setAll([*{**QUIET, **settings}.items()])
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
        return SparkSession(SparkContext(gateway=gateway, conf=conf))
    except (Py4JError, PySparkException, OSError) as error:
        fix = f"{log} has what it said; `notif-rec doctor` checks Java and pyspark, engine.master and engine.settings are yours"
        raise ConfigError(f"Spark does not start on {master}: {str(error).splitlines()[0]}", fix) from error


def patient(master: str) -> str:
    """`local[2]` as `local[2,4]`: on one machine too, a task whose worker was killed is tried again."""
    alone = {"local": "local[1]"}.get(master, master)
    return f"{alone[:-1]},{TRIES}]" if alone.startswith("local[") and "," not in alone else alone


def _open_parts(parts: Sequence[Path], task: Task, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The users of this task's part, a few at a time."""
    for asked in numbers:
        for number in asked.column(0).to_pylist():
            for batch in read_part(parts[number], task.reads):
                for start in range(0, batch.num_rows, ROWS):
                    yield to_plain(batch.slice(start, ROWS))


def _fill_part(task: Task, targets: Sequence[Path], context: Path, users: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Writes what the task makes of a part's users as one batch, so that its bytes do not tell how Spark cut them."""
    here = TaskContext.get()
    number, attempt = here.partitionId(), here.taskAttemptId()
    failure = None
    try:
        loaded = cached_context(task.load_context, context)
        with one_blas_thread():
            made = [task.apply(conform(batch, task.reads), loaded) for batch in users]
        target = targets[number]
        write_part(target.with_name(f".{target.name}.{attempt}"), target, task.writes, [pa.concat_batches(made)] if made else [])
    except NotifRecError as error:
        failure = told(error)
    yield pa.RecordBatch.from_pylist([{"part": number, "failure": failure}], MADE)


def _done(work: Callable[[T], R], thing: T) -> tuple[R | None, str | None]:
    """What `work` returns, or how it failed for a reason of ours, which a second try would meet again."""
    try:
        return work(thing), None
    except NotifRecError as error:
        return None, told(error)


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
