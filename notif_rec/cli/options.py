"""The global options, taken before or after the command, and what a command gets of them: Settings."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from notif_rec.cli.compiled import keep_compiled_code
from notif_rec.errors import ConfigError

if TYPE_CHECKING:
    from notif_rec.config import Config
    from notif_rec.store.store import Store

META = "notif_rec.global_options"
CONFIG_NAME, STORE_NAME, LISTS_NAME = "notif_rec.yml", ".notif_rec", "send_lists"
C = TypeVar("C", bound=click.Command)


@dataclass(frozen=True)
class Settings:
    """The resolved global options: flag, else environment, else default."""

    config: Path = Path(CONFIG_NAME)
    store: Path | None = None
    verbose: int = 0
    quiet: bool = False
    json: bool = False
    debug: bool = False
    color: bool = True
    jobs: int = 1

    @property
    def store_path(self) -> Path:
        """The store's folder: `--store`, else `.notif_rec` beside the config."""
        return self.store if self.store is not None else self.config.parent / STORE_NAME

    @property
    def lists_path(self) -> Path:
        """Where send lists go unless `-o` names a folder: `send_lists` beside the config."""
        return self.config.parent / LISTS_NAME


@dataclass(frozen=True)
class Workspace:
    """An open config and store."""

    config: Config
    store: Store


def open_workspace(settings: Settings, *, create: bool = False) -> Workspace:
    """The config and the store that `settings` name; ConfigError where either is missing (unless `create`) or refused."""
    from notif_rec.config import load_config
    from notif_rec.store.store import Store

    config, path = load_config(settings.config), settings.store_path
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{path.absolute()}: the path is not text in UTF-8", "name another folder with --store DIR") from None
    if not create and not path.exists():
        raise ConfigError(f"{path}: no store here yet", "`notif-rec ingest` makes it, or name one with --store DIR")
    return Workspace(config, Store.create(path) if create else Store.open(path))


def read_config(settings: Settings) -> Config:
    """The config, or all defaults where none is named and none lies here: for commands that need no workspace."""
    from notif_rec.config import Config, load_config

    unnamed = settings.config == Path(CONFIG_NAME) and not settings.config.exists()
    return Config() if unnamed else load_config(settings.config)


def default_jobs() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _remember(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and parameter.name:  # a flag after the command wins over one before it, and both over the environment
        ctx.meta.setdefault(META, {})[parameter.name] = value


def _options(on_group: bool) -> list[click.Option]:
    """The global options; on a command they are hidden from its help and take nothing from the environment."""

    def option(*names: str, env: str, help: str, **more: Any) -> click.Option:
        variable = f"NOTIF_REC_{env}" if on_group else None
        return click.Option(names, help=help, envvar=variable, expose_value=False, callback=_remember, hidden=not on_group, **more)

    path = click.Path(path_type=Path)
    return [
        option("-c", "--config", env="CONFIG", type=path, metavar="FILE", help=f"The config  [default: {CONFIG_NAME}]"),
        option("--store", env="STORE", type=path, metavar="DIR", help=f"The store  [default: {STORE_NAME} beside the config]"),
        option("-v", "--verbose", env="VERBOSE", count=True, help="Say what is being done; twice for more"),
        option("-q", "--quiet", env="QUIET", is_flag=True, help="Say nothing but errors"),
        option("--json", env="JSON", is_flag=True, help="Print the result as one JSON object"),
        option("--debug", env="DEBUG", is_flag=True, help="Show the traceback of an error"),
        option("--no-color", env="NO_COLOR", is_flag=True, help="No colours; NO_COLOR does the same"),
        option("--jobs", env="JOBS", type=click.IntRange(min=1), metavar="N", help="Processes at most  [default: the cores here]"),
    ]


def add_global_options(command: C, *, top: bool = False) -> C:
    """`command`, and the commands in it, with the global options; again changes nothing. top: the program itself."""
    known = {parameter.name for parameter in command.params}
    command.params.extend(o for o in _options(on_group=top) if o.name not in known)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_global_options(child)
    if not top and not command.epilog:
        command.epilog = "Global options (-c, --store, -v, -q, --json, --debug, --no-color, --jobs): notif-rec --help"
    return command


def resolve_settings(ctx: click.Context) -> Settings:
    """Settings from what the command line and the environment said."""
    said = dict(ctx.meta.get(META, {}))
    color = not said.pop("no_color", False) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    said.setdefault("jobs", default_jobs())
    return Settings(color=color, **said)


def pass_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: calls `function(settings, …)`; place it right above the function."""

    def call(*args: Any, **kwargs: Any) -> Any:
        settings = resolve_settings(click.get_current_context())
        start_logging(settings)
        keep_compiled_code(settings.store_path)
        return function(settings, *args, **kwargs)

    return update_wrapper(call, function)


def start_logging(settings: Settings) -> None:
    """Log lines to stderr: warnings, with -v what is done, with -vv everything."""
    level = logging.ERROR if settings.quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(settings.verbose, 2)]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s", force=True)
    logging.getLogger("notif_rec").setLevel(level)
    logging.captureWarnings(True)  # a library's remarks are for -v; cron's mail is for ours
    logging.getLogger("py.warnings").setLevel(logging.WARNING if settings.verbose else logging.ERROR)


class AsOf(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """`2026-11-22` (its midnight in UTC), or an ISO time with Z or an offset; becomes naive UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment as naive UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a date (2026-11-22) or a time (2026-11-22T09:00:00Z)", param, ctx)
        if moment.tzinfo is None and len(value) > len("2026-11-22"):
            self.fail(f"'{value}' has no zone; add Z for UTC, or an offset such as +02:00", param, ctx)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def java_home() -> str | None:
    """The environment's JAVA_HOME, which Spark's own launcher follows too."""
    return os.environ.get("JAVA_HOME")


def now() -> datetime:
    """The clock, in naive UTC and whole seconds: read here and nowhere else, once a command."""
    return datetime.now(UTC).replace(microsecond=0, tzinfo=None)


def as_of_option(*, default_now: bool = True, shown: str = "") -> Callable[[Any], Any]:
    """The option `--as-of T`, passed as `as_of`; without it the clock's time, or None where not `default_now`."""

    def resolve(ctx: click.Context, parameter: click.Parameter, value: datetime | None) -> datetime | None:
        return now() if value is None and default_now and not ctx.resilient_parsing else value

    shown = shown or ("now" if default_now else "the plan's")
    return click.option(
        "--as-of",
        type=AsOf(),
        callback=resolve,
        metavar="TIME",
        help=f"The moment to believe in: a date or a time with Z  [default: {shown}]",
    )


def out_option(default: str = f"{LISTS_NAME} beside the config") -> Callable[[Any], Any]:
    """The option `-o/--out DIR`, passed as `out`; None where it is not given."""
    help_text = f"Folder of the lists, DIR/<plan_id>/<channel>.csv  [default: {default}]"
    return click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help=help_text)


def was_given(name: str) -> bool:
    """Whether the command line named this option of the current command."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
