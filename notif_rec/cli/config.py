"""`notif-rec config`: check or show the config, or print its schema."""

from __future__ import annotations

import json

import click

from notif_rec.cli.options import Settings, pass_settings
from notif_rec.cli.render import note, show


@click.group("config")
def command() -> None:
    """Check or show the config, or print its schema."""


@command.command("check")
@pass_settings
def check(settings: Settings) -> None:
    """Read the config and report every problem in it, each with its line; exit code 78 where there is one.

    Where a store lies beside it, quotas are held against the items and users that it knows.
    """
    from notif_rec.workflows.config import check_config

    checked = check_config(settings.config, settings.store_path)
    for remark in checked.remarks:
        note(settings, f"note: {remark}")
    show(settings, checked.to_json(), text=f"{checked.path}: sound ({', '.join(checked.config.channel_names)})")


@command.command("show")
@pass_settings
def show_resolved(settings: Settings) -> None:
    """Print the config with every key resolved, as YAML that reads back the same."""
    from notif_rec.workflows.config import check_config, to_text

    config = check_config(settings.config).config
    show(settings, config.to_json(), text=to_text(config))


@command.command("schema")
@pass_settings
def schema(settings: Settings) -> None:
    """Print the JSON schema of the config file, for editors and other tools."""
    from notif_rec.workflows.config import config_schema

    found = config_schema()
    show(settings, found, text=json.dumps(found, indent=2, ensure_ascii=False))
