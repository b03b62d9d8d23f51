"""The `notif-rec` command: a group that loads one command's module at a time, and the one error boundary."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import cast

import click

from notif_rec.cli.failure import flush_stdout, make_streams_lenient, report_failure
from notif_rec.cli.options import add_global_options
from notif_rec.errors import did_you_mean

# name: (module with `command`, short help). In the order of a first day; the help of the group imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("notif_rec.cli.init", "Write a commented config, tiny sample data and a cron line."),
    "ingest": ("notif_rec.cli.ingest", "Add events; upsert users, items and suppressions."),
    "train": ("notif_rec.cli.train", "Fit all models from what happened before a moment."),
    "plan": ("notif_rec.cli.plan", "Decide what to send, and say why the rest is dropped."),
    "apply": ("notif_rec.cli.apply", "Record a plan in the ledger and publish its lists."),
    "run": ("notif_rec.cli.run", "The nightly job: ingest, train when stale, plan, apply."),
    "stream": ("notif_rec.cli.stream", "The same decisions as events come, file by file."),
    "release": ("notif_rec.cli.release", "Withdraw a plan's unconfirmed future sends."),
    "pause": ("notif_rec.cli.pause", "Stop sending, on one channel or on all."),
    "resume": ("notif_rec.cli.resume", "Allow sending again."),
    "explain": ("notif_rec.cli.explain", "Say what became of each candidate of a user, and why."),
    "audit": ("notif_rec.cli.audit", "Check every rule over the ledger, by other means than the planner."),
    "ope": ("notif_rec.cli.ope", "Say what another policy would have brought, from logged probabilities."),
    "lift": ("notif_rec.cli.lift", "Say what sending brings, against the users held out."),
    "report": ("notif_rec.cli.report", "Write a plan as one self-contained page."),
    "recommend": ("notif_rec.cli.recommend", "Write the top items of each user, without any policy."),
    "evaluate": ("notif_rec.cli.evaluate", "Backtest the models against simple ones."),
    "tune": ("notif_rec.cli.tune", "Search the settings of the models."),
    "simulate": ("notif_rec.cli.simulate", "Live through days under several policies, in a world with known truth."),
    "status": ("notif_rec.cli.status", "Say what the store holds and what ran last."),
    "doctor": ("notif_rec.cli.doctor", "Check this machine, the config and the store."),
    "ledger": ("notif_rec.cli.ledger", "Verify, back up or export the record of sends."),
    "export": ("notif_rec.cli.export", "Print everything that is held of a user."),
    "forget": ("notif_rec.cli.forget", "Erase users, and keep them out."),
    "config": ("notif_rec.cli.config", "Check or show the config, or print its schema."),
    "completion": ("notif_rec.cli.completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group whose commands are known by name and imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with the global options added, or None where the name is unknown."""
        if cmd_name not in COMMANDS:
            return None
        module, short_help = COMMANDS[cmd_name]
        command = cast(click.Command, importlib.import_module(module).command)
        command.short_help = command.short_help or short_help
        return add_global_options(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown name is answered with the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command '{args[0]}'{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from COMMANDS alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])


ENVIRONMENT = (
    "The global options go before or after the command; NOTIF_REC_CONFIG, NOTIF_REC_STORE, NOTIF_REC_JSON and so on set them too, "
    "and a flag wins over its variable. Exit codes: "
    "0 done, 1 failed, 2 wrong usage, 3 data or a check failed, 70 a bug, 75 try again, 78 config."
)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=ENVIRONMENT)
@click.version_option(package_name="notif-rec", prog_name="notif-rec", message="%(prog)s %(version)s")
def cli() -> None:
    """Ranked, policy-abiding send lists from interaction logs.

    A first day: init, ingest, train, plan, apply. Every day after: run.
    """


add_global_options(cli, top=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of a whole command line; every failure is told on stderr, and with --json also on stdout."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        signal.signal(signal.SIGTERM, _terminate)
    make_streams_lenient()
    try:
        code = _call(arguments)
        flush_stdout()  # a full disk or a closed pipe is met here, not at the interpreter's end
        return code if isinstance(code, int) else 0
    except BaseException as error:  # the one boundary: whatever escapes a command ends here
        return report_failure(error, arguments)


def _call(arguments: list[str]) -> object:
    """What the command returns; not `cli.main`, which ends the process itself where a pipe is closed."""
    if instruction := os.environ.get("_NOTIF_REC_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "notif-rec", "_NOTIF_REC_COMPLETE", instruction)
    with cli.make_context("notif-rec", list(arguments)) as context:
        return cli.invoke(context)


def _terminate(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
