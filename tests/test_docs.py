"""The documentation runs: every command of the README, the recipe of CONTRIBUTING, every link to a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import click
import pytest

from notif_rec.cli.main import COMMANDS, LazyGroup, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
DURATION_S = 3600  # against a hang alone


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, without their indentation."""
    return [dedent(found) for found in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)]


def leaves() -> list[tuple[str, click.Command]]:
    """Every command that can be called, with its whole name."""
    found: list[tuple[str, click.Command]] = []
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name} {child}", inner) for child, inner in command.commands.items()]
        else:
            found.append((name, command))
    return found


def test_the_commands_of_the_readme_run_one_after_another(tmp_path: Path) -> None:
    tour = "".join(block for block in blocks(README, "sh") if "notif-rec " in block and "pip" not in block)
    assert tour.count("notif-rec ") > 10
    script = f"set -euo pipefail\nnotif-rec() {{ '{sys.executable}' -m notif_rec.cli.main \"$@\"; }}\n{tour}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTIF_REC_")}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=DURATION_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lists = {path.name for path in (tmp_path / "shop" / "send_lists").glob("*/*.csv")}
    assert lists == {"push.csv", "email.csv", "in_app.csv"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_mentioned_in_the_readme_or_the_docs(name: str) -> None:
    pages = README + "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md"))
    assert re.search(rf"notif-rec {name}\b|`{name}\b", pages), f"no page mentions `{name}`"


def test_every_command_and_every_option_has_help() -> None:
    assert isinstance(cli, LazyGroup)
    for name, command in leaves():
        assert command.help and command.help.strip().endswith((".", "fish")), name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name}: {parameter.opts} has no help"


def test_every_help_page_fits_a_narrow_terminal() -> None:
    for name, command in leaves():
        with click.Context(command, info_name=f"notif-rec {name}", terminal_width=40) as context:
            assert command.get_help(context), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_recipe_for_a_rule_works_and_touches_nothing_else(tmp_path: Path) -> None:
    for name in ("notif_rec", "tests", "docs", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    python, yaml, page = blocks(RECIPE, "python")[0], blocks(RECIPE, "yaml")[0], blocks(RECIPE, "md")[0]
    (tmp_path / "notif_rec/policy/rules/weekdays.py").write_text(python, encoding="utf-8")
    assert run_cases(tmp_path).returncode == 1  # a rule alone is not enough: its cases and its page are missing
    (tmp_path / "tests/policy_cases/weekdays.yml").write_text(yaml, encoding="utf-8")
    with (tmp_path / "docs/policy.md").open("a", encoding="utf-8") as file:
        file.write("\n" + page)
    done = run_cases(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]


def run_cases(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/policy/test_cases.py", "-k", "weekdays or stands"]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": ""}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
