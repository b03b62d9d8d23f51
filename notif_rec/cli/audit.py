"""`notif-rec audit`: every rule once more, over the ledger."""

from __future__ import annotations

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import Table, note, progress, show

SHOWN = 20
COLUMNS = ("plan_id", "rule", "send_key", "user_id", "channel", "detail")


@click.command("audit")
@click.option("--plan", "plan", metavar="ID", help="One plan (an id, a prefix or `latest`) rather than all that were applied")
@pass_settings
def command(settings: Settings, plan: str | None) -> None:
    """Check every rule over the ledger and the published lists, by queries that share no code with the planner.

    A send is judged by what the store knew when it was applied; what later facts broke is listed as overtaken. Exit code 3 where a rule
    was broken.
    """
    from notif_rec.errors import DataError
    from notif_rec.workflows.audit import audit

    with progress(settings) as advance:
        result = audit(open_workspace(settings).store, plan, advance)
    text = f"{result.plans} plans, {result.sends} sends: {len(result.violations)} violations, {len(result.overtaken)} overtaken"
    tables = [
        Table(COLUMNS, [[getattr(f, c) for c in COLUMNS] for f in found[:SHOWN]], title)
        for title, found in (("violations", result.violations), ("overtaken", result.overtaken))
        if found
    ]
    show(settings, result.to_json(), text=text, tables=tables)
    for rule in result.unchecked:
        note(settings, f"warning: the audit has no query for the rule '{rule}'")
    if result.violations:
        # told here, not raised: with --json the result is the one object on stdout
        click.echo(f"error: {len(result.violations)} violations\n  fix: look the sends up with `notif-rec explain USER`", err=True)
        click.get_current_context().exit(DataError.exit_code)
