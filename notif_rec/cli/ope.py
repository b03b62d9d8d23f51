"""`notif-rec ope`: what another policy would have brought."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.pairs import pairs_of
from notif_rec.cli.render import Table, note, progress, show
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.causal.interval import Estimate
    from notif_rec.workflows.ope import OpeResult

FILE = click.Path(path_type=Path)
COLUMNS = ("estimator", "value", "from", "to", "difference", "from ", "to ", "ratio")


@click.command("ope")
@click.option("--policy", type=FILE, metavar="FILE", help="A policy (config keys that replace our own), judged by our ledger")
@as_of_option()
@click.option("--since", type=Span(), default="28d", show_default=True, help="With --policy: how far back plans may lie")
@click.option("--plan", metavar="ID", help="With --policy: this plan alone (an id, a prefix or `latest`)")
@click.option("--any-moment", is_flag=True, help="With --policy: a message is the same whenever it goes out (for policies that move it)")
@click.option("--logs", type=FILE, metavar="FILE", help="Logged choices: CSV (plain, .gz, .zst) or Parquet with reward, propensity, …")
@click.option("--target", metavar="POLICY", help="uniform, only=ITEM, or a file item_id,probability[,context…]  [default: a column]")
@click.option("--against", metavar="POLICY", default="logged", show_default=True, help="The policy that it is held against")
@click.option("--map", "mapping", multiple=True, callback=pairs_of, metavar="COLUMN=HEADER", help="COLUMN stands under HEADER; repeatable")
@click.option("--set", "constants", multiple=True, callback=pairs_of, metavar="COLUMN=VALUE", help="COLUMN is VALUE everywhere; repeatable")
@click.option("--features", metavar="COLUMN,…", help="Columns that foretell the reward: the doubly robust estimates get narrower")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of the resampling")
@pass_settings
def command(
    settings: Settings, policy: Path | None, as_of: datetime, since: timedelta, plan: str | None, any_moment: bool, logs: Path | None,
    target: str | None, against: str, mapping: Mapping[str, str], constants: Mapping[str, str], features: str | None, seed: int,
) -> None:  # fmt: skip
    """Say what another policy would have brought, from logged choices and the probability of each.

    With --policy from our own plans: those of the last --since that left something to chance (config `exploration`) and whose outcomes
    are in. Values are per user and plan, by the workspace's `value`. With --logs from any file.

    Columns of a log file: reward, propensity (of the logged choice), target_propensity (of the same choice under the policy in
    question); optional user_id (rows of a user are drawn together), item_id (for --target), predicted and predicted_target (a model's
    reward of the logged choice, and its mean over the policy's own). Rows with a blank propensity are left out. Exit code 3 where the
    effective sample size is below 100 or 1 % of the rows.
    """
    if (logs is None) == (policy is None):
        raise click.UsageError("either --policy FILE, judged by our ledger, or --logs FILE")
    if policy is not None:
        if target or mapping or constants or features or against != "logged":
            raise click.UsageError("--target, --against, --map, --set and --features go with --logs")
        return _report(settings, _of_policy(settings, policy, as_of, since, plan, seed, any_moment))
    from notif_rec.workflows.ope_logs import evaluate_logs

    assert logs is not None
    asked = tuple(name.strip() for name in features.split(",")) if features else ()
    return _report(settings, evaluate_logs(logs, target, against, mapping=mapping, constants=constants, features=asked, seed=seed))


def _of_policy(
    settings: Settings, policy: Path, as_of: datetime, since: timedelta, plan: str | None, seed: int, any_moment: bool
) -> OpeResult:
    from notif_rec.engines.local import LocalEngine
    from notif_rec.workflows.ope_policy import evaluate_policy

    work = open_workspace(settings)
    with progress(settings) as advance:
        return evaluate_policy(work.store, work.config, policy, as_of, since, plan, LocalEngine(settings.jobs), advance, seed, any_moment)


def _report(settings: Settings, result: OpeResult) -> None:
    from notif_rec.workflows.ope import TITLES

    support, best = result.support, result.verdicts[result.headline]
    text = (
        f"{result.target}: {_with_interval(best.value)}; {_with_interval(best.difference)} against {result.against}\n"
        f"{support.rows:,} rows of {support.clusters:,} users weigh as much as {support.ess:,.0f}; largest weight {support.largest:,.1f}, "
        f"mean {support.mean:.3f}\n"
        f"the logs themselves brought {result.logged.value:.6g}; whatever the weights, the policy's value is at least {result.lower:.6g}"
    )
    rows = [(TITLES[name], *_cells(v.value), *_cells(v.difference), v.relative) for name, v in result.verdicts.items()]
    for reason, n in result.left_out.items():
        note(settings, f"left out: {n:,} {reason}")
    for warning in result.notes:
        note(settings, f"warning: {warning}")
    show(settings, result.to_json(), text=text, tables=[Table(COLUMNS, rows)])


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.6g} ({estimate.low:.6g} to {estimate.high:.6g})"


def _cells(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high
