"""`notif-rec plan`: decides, and reserves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from notif_rec.cli.engine import engine_option, open_engine
from notif_rec.cli.options import Settings, as_of_option, open_workspace, out_option, pass_settings, was_given
from notif_rec.cli.render import Table, note, progress, show

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("plan")
@as_of_option()
@out_option(default="no preview is written")
@click.option(
    "--users", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Only these users: a CSV with a user_id column"
)
@click.option("--channels", metavar="C,…", help="Only these channels; the others count as paused")
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A config whose keys replace the workspace's"
)
@engine_option()
@pass_settings
def command(
    settings: Settings,
    as_of: datetime,
    out: Path | None,
    users: Path | None,
    channels: str | None,
    policy: Path | None,
    engine: str | None,
) -> None:
    """Decide what to send, print it and why the rest is dropped; nothing is reserved and no list is published.

    With -o also writes preview lists. --users and --channels limit the plan (a canary).
    """
    from notif_rec.config import load_policy
    from notif_rec.workflows.plan import Scope, plan
    from notif_rec.workflows.user_file import read_user_file

    work = open_workspace(settings)
    config = load_policy(policy, work.config) if policy else work.config
    scope = Scope(tuple(read_user_file(users).to_pylist()) if users else None, tuple(channels.split(",")) if channels else ())
    with progress(settings) as advance:
        given = was_given("as_of")
        runs = open_engine(settings, config, engine)
        result = plan(work.store, config, as_of, runs, advance, as_of_given=given, scope=scope, out=out)
    show_plan(settings, result.manifest, result.to_json())


def show_plan(settings: Settings, manifest: Mapping[str, Any], told: dict[str, Any]) -> None:
    """The summary of a plan: sends, drops per rule, value and bound."""
    sends, dropped = manifest["sends"], manifest["dropped"]
    text = (
        f"plan {manifest['plan_id']}: {'  '.join(f'+ {n:,} {c}' for c, n in sends.items())}  − {sum(dropped.values()):,} dropped\n"
        f"value {manifest['value']:,.2f} of at most {manifest['bound']:,.2f} (gap {manifest['gap']:.3%})\n"
        f"{_weekly(manifest)}{_pruned(manifest)}Nothing has been reserved. Run: notif-rec apply {manifest['plan_id']}"
    )
    by_channel = manifest["dropped_by_channel"]
    rows = [(reason, *(by_channel[c].get(reason, 0) for c in sends), n) for reason, n in dropped.items()]
    show(settings, told, text=text, tables=[Table(("dropped because", *sends, "all"), rows)] if rows else [])
    for warning in manifest["warnings"]:
        note(settings, f"warning: {warning}")


def _weekly(manifest: Mapping[str, Any]) -> str:
    """How each weekly budget was shared out, a line a channel."""
    lines = []
    for channel, told in manifest.get("weekly", {}).items():
        price = "nothing is left" if told["price"] is None else f"a further send must add {told['price']:.3g}"
        price = price if told["granted"] < told["wanted"] else "every send that adds anything is granted"
        week = f"{told['spent']:,} sent and {told['granted']:,} granted of {told['budget']:,} a week"
        lines.append(f"{channel}: {week} to {told['users']:,} users; {price}\n")
    return "".join(lines)


def _pruned(manifest: Mapping[str, Any]) -> str:
    """What four times as many offers would have brought, as a line of its own; plans of earlier versions do not say."""
    pruning = manifest.get("pruning")
    if not pruning or not pruning["users"]:
        return ""
    most = manifest["config"]["max_offers"]
    return f"{most} offers a user lose {pruning['lost']:.2%} of what {4 * most} would be worth (measured on {pruning['users']:,} users)\n"
