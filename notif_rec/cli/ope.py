"""`notif-rec ope`: what another policy would have brought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notif_rec.cli.options import Settings, pass_settings
from notif_rec.cli.pairs import pairs_of
from notif_rec.cli.render import Table, note, show

if TYPE_CHECKING:
    from notif_rec.causal.interval import Estimate
    from notif_rec.workflows.ope import OpeResult

FILE = click.Path(path_type=Path)
COLUMNS = ("estimator", "value", "from", "to", "difference", "from ", "to ", "ratio")


@click.command("ope")
@click.option("--logs", type=FILE, metavar="FILE", help="Logged choices: CSV (plain, .gz, .zst) or Parquet with reward, propensity, …")
@click.option("--target", metavar="POLICY", help="uniform, only=ITEM, or a file item_id,probability[,context…]  [default: a column]")
@click.option("--against", metavar="POLICY", default="logged", show_default=True, help="The policy that it is held against")
@click.option("--map", "mapping", multiple=True, callback=pairs_of, metavar="COLUMN=HEADER", help="COLUMN stands under HEADER; repeatable")
@click.option("--set", "constants", multiple=True, callback=pairs_of, metavar="COLUMN=VALUE", help="COLUMN is VALUE everywhere; repeatable")
@click.option("--features", metavar="COLUMN,…", help="Columns that foretell the reward: the doubly robust estimates get narrower")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of the resampling")
@pass_settings
def command(
    settings: Settings, logs: Path | None, target: str | None, against: str, mapping: Mapping[str, str], constants: Mapping[str, str],
    features: str | None, seed: int,
) -> None:  # fmt: skip
    """Say what another policy would have brought, from logged choices and the probability of each.

    Columns of a log file: reward, propensity (of the logged choice), target_propensity (of the same choice under the policy in
    question); optional user_id (rows of a user are drawn together), item_id (for --target), predicted and predicted_target (a model's
    reward of the logged choice, and its mean over the policy's own). Rows with a blank propensity are left out. Exit code 3 where the
    effective sample size is below 100 or 1 % of the rows.
    """
    if logs is None:
        raise click.UsageError("name the logs with --logs FILE")
    from notif_rec.workflows.ope_logs import evaluate_logs

    asked = tuple(name.strip() for name in features.split(",")) if features else ()
    _report(settings, evaluate_logs(logs, target, against, mapping=mapping, constants=constants, features=asked, seed=seed))


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
