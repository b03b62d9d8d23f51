"""The option --engine, and the engine that it or the config names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from notif_rec.cli.options import Settings, java_home

if TYPE_CHECKING:
    from notif_rec.config import Config
    from notif_rec.engines.engine import Engine


ENGINES = ("local", "spark")
ENGINE_HELP = "Where work is done: here, or by Spark (engine.master)  [default: the config's]"


def engine_option() -> Callable[[Any], Any]:
    """The option `--engine local|spark`, passed as `engine`; None where it is not given."""
    return click.option("--engine", type=click.Choice(ENGINES), help=ENGINE_HELP)


def open_engine(settings: Settings, config: Config, named: str | None) -> Engine:
    """The engine that was named, else the config's; ConfigError where Spark, Java or pyspark are missing or of another version."""
    chosen = config.engine
    if (named or chosen.name) == "local":
        from notif_rec.engines.local import LocalEngine

        return LocalEngine(settings.jobs)
    from notif_rec.engines.spark_needs import refuse_unfit

    refuse_unfit(java_home())
    from notif_rec.engines.spark import open_spark

    return open_spark(chosen.master, chosen.settings, settings.store_path.absolute())
