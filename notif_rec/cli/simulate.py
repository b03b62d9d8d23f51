"""`notif-rec simulate`: what policies would bring, day after day, in a world with known truth."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notif_rec.cli.options import CONFIG_NAME, Settings, pass_settings
from notif_rec.cli.render import Table, note, progress, show
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.config import Config
    from notif_rec.workflows.simulate import SimulateResult

DAY = timedelta(days=1)


@click.command("simulate")
@click.option("--policy", "policies", multiple=True, metavar="FILE|PRESET", help="A config whose keys replace the workspace's, or a preset")
@click.option("--days", type=click.IntRange(1, 1000), default=28, show_default=True, help="Days to live through")
@click.option("--users", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="Users at the start; more come every day")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, another world")
@click.option("--train-every", type=Span(), default="7d", show_default=True, help="How often models are fitted, in whole days")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep stores, lists and results here; the same line again goes on",
)
@pass_settings
def command(
    settings: Settings, policies: tuple[str, ...], days: int, users: int, seed: int, train_every: timedelta, keep: Path | None
) -> None:
    """Live through days in a generated world, once under each policy, and say what each would have brought.

    Every night the real pipeline ingests, trains, plans and applies on a temporary store; then people open, click, tire and leave as the
    world's laws say, with the same luck under every policy. Presets: ours (the config as it is), popular-flat-cap, score-first, no-caps;
    without --policy all of them. The first policy is compared with each other one; intervals are of 95 %, paired by user.
    Every ledger is audited: exit code 3 where a rule was broken. With --keep, a policy that was lived to the end is not lived again.
    """
    from notif_rec.engines.local import LocalEngine
    from notif_rec.errors import DataError
    from notif_rec.workflows import simulate as work
    from notif_rec.workflows.simulated_homes import Span as Lifespan
    from notif_rec.workflows.simulated_policies import chosen_policies

    if train_every % DAY:
        raise click.BadParameter("must be whole days, such as 7d", param_hint="--train-every")
    chosen = chosen_policies(policies, _config(settings))
    span = Lifespan(users, days, seed, train_every // DAY)
    if not settings.verbose:  # what a thin channel ranks by is told once a training, and is no news here
        logging.getLogger("notif_rec").setLevel(logging.ERROR)
    with _folder(keep) as folder, progress(settings) as advance:
        result = work.simulate(chosen, span, folder, LocalEngine(settings.jobs), settings.jobs, advance)
    tell(settings, result)
    if result.violations:
        click.echo(f"error: {result.violations} violations\n  fix: look at the stores with --keep DIR and `notif-rec audit`", err=True)
        click.get_current_context().exit(DataError.exit_code)


def _config(settings: Settings) -> Config:
    """The workspace's config, or the one that `init` writes where there is none."""
    from notif_rec.config import load_config
    from notif_rec.workflows.simulated_policies import starter_config

    if settings.config == Path(CONFIG_NAME) and not settings.config.exists():
        note(settings, f"no {CONFIG_NAME} here: simulating the one that `notif-rec init` writes")
        return starter_config()
    return load_config(settings.config)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="notif-rec-") as name:
        yield Path(name)


def tell(settings: Settings, result: SimulateResult) -> None:
    """Totals of every policy, and how far the first is from each other one."""
    show(settings, result.to_json(), text=_summary(result), tables=list(_tables(result)))


def _summary(result: SimulateResult) -> str:
    sends = sum(lived.outcome.audit["sends"] for lived in result.policies)
    span = result.span
    return f"{result.users:,} users, {span.days} days, seed {span.seed}; audit of {sends:,} sends: {result.violations} violations"


def _tables(result: SimulateResult) -> Iterator[Table]:
    names = [lived.policy for lived in result.policies]
    totals = [(metric, *(round(lived.totals[metric].mean, 1) for lived in result.policies)) for metric in result.policies[0].totals]
    yield Table(("total", *names), totals)
    rows = [
        (f"{found.first} − {found.other}", name, *(round(x, 1) for x in (d.mean, d.low, d.high)), _percent(found.share[name]))
        for found in result.differences
        for name, d in found.metrics.items()
    ]
    if rows:
        yield Table(("compared", "metric", "difference", "low", "high", "relative"), rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.1%}"
