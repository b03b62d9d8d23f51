"""`notif-rec report`: a plan on one page."""

from __future__ import annotations

from pathlib import Path

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import show


@click.command("report")
@click.option("--plan", "plan", metavar="ID", default="latest", show_default=True, help="Which plan (an id, a prefix or `latest`)")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The .html file to write")
@pass_settings
def command(settings: Settings, plan: str, output: Path) -> None:
    """Write one page about a plan: what it sends, what it drops and why, when, which items, and the last weeks of the ledger.

    The page needs nothing else: no network, no script. It names items, and no user.
    """
    from notif_rec.cli.page import page
    from notif_rec.store.files import whole_file
    from notif_rec.workflows.report import report

    found = report(open_workspace(settings).store, plan)
    with whole_file(output) as draft:
        draft.write_text(page(found), encoding="utf-8")
    show(settings, {**found.to_json(), "output": output}, text=f"{output}: plan {found.plan.plan_id} on one page")
