"""What Spark needs beside this program: pyspark of a known major version, and a Java that it runs on. Imports neither."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from notif_rec.errors import ConfigError

PYSPARK, JAVA = 4, 17  # the major version of the one, the least of the other
INSTALL_PYSPARK = "pip install 'notif-rec[spark]', or `make spark` in a checkout"
INSTALL_JAVA = f"install Java {JAVA} or 21 (a JRE is enough), and let JAVA_HOME or PATH name it"
SECONDS = 20


@dataclass(frozen=True)
class Need:
    """One thing that Spark needs: what was found, and the way to mend it, '' where it is fine."""

    name: str
    found: str
    fix: str = ""


def needs(java_home: str | None) -> list[Need]:
    """pyspark, the pandas that it asks for, and Java, as they are here. java_home: the environment's JAVA_HOME."""
    return [pyspark(), pandas(), java(java_home)]


def refuse_unfit(java_home: str | None) -> None:
    """ConfigError where one of the needs is not met."""
    for need in needs(java_home):
        if need.fix:
            raise ConfigError(f"--engine spark: {need.found}", need.fix)


def pyspark() -> Need:
    """The pyspark that is installed."""
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        return Need("pyspark", "pyspark is not installed", INSTALL_PYSPARK)
    fine = found.split(".")[0] == str(PYSPARK)
    return Need("pyspark", found) if fine else Need("pyspark", f"pyspark {found} is installed, {PYSPARK}.x is needed", INSTALL_PYSPARK)


def pandas() -> Need:
    """pyspark's way to Arrow goes through it; nothing of ours does."""
    try:
        return Need("pandas", version("pandas"))
    except PackageNotFoundError:
        return Need("pandas", "pandas, which pyspark asks for, is not installed", INSTALL_PYSPARK)


def java(java_home: str | None) -> Need:
    """The Java that Spark will start: JAVA_HOME's, else the first in PATH."""
    named = Path(java_home, "bin", "java") if java_home else None
    program = shutil.which(str(named)) if named else shutil.which("java")
    if program is None:
        return Need("java", f"JAVA_HOME names no Java ({named} does not run)" if named else "there is no Java here", INSTALL_JAVA)
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Need("java", f"{program} does not run ({error})", INSTALL_JAVA)
    text = f"{done.stderr}\n{done.stdout}".strip()
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', text)
    if found is None:
        return Need("java", f"{program} does not say its version: {text.splitlines()[0][:80] if text else 'nothing'}", INSTALL_JAVA)
    major = int(found[1])
    return (
        Need("java", f"{major} ({program})")
        if major >= JAVA
        else Need("java", f"{program} is Java {major}, Spark 4 needs {JAVA}", INSTALL_JAVA)
    )
