"""Which skips are allowed where: every other one fails, and the number of the allowed ones is printed.

A pytest plugin; its table is ``allowed_skips.yaml``.
"""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("allowed_skips.yaml")


@functools.cache
def is_so(surrounding: str) -> bool:
    """Whether this machine is in a surrounding.

    Raises:
        ValueError: there is no surrounding of that name.
    """
    match surrounding.split(maxsplit=2):
        case ["not", "root"]:
            return os.geteuid() != 0
        case ["no", "upstream", "tree"]:
            return not (ROOT / "third_party" / "LLaVA-NeXT").exists()
        case ["no", "GPU"]:
            return not Path("/dev/nvidia0").exists()
        case ["no", "answer", "from Debian"]:
            return not _debian_answers()
        case ["no", "program", name]:
            return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
        case ["no", "package", name]:
            return importlib.util.find_spec(name) is None
        case ["no", "file", pattern]:
            return not glob.glob(pattern)
        case ["a", "file", pattern]:
            return bool(glob.glob(pattern))
        case ["unset", name]:
            return os.environ.get(name) != "1"
    raise ValueError(f"{TABLE.name}: no such surrounding: {surrounding}")


def _debian_answers() -> bool:
    """Whether one of the archives that apt is set up for answers."""
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)dists/$(RELEASE)/Release"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    for address in dict.fromkeys(line for line in listed.splitlines() if line.startswith("http")):
        try:
            with urllib.request.urlopen(address, timeout=10):
                return True
        except OSError:
            continue
    return False


@functools.cache
def allowed() -> dict[str, list[str]]:
    """For each surrounding, patterns of reasons."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def excuse(reason: str) -> str | None:
    """The surrounding of this machine that allows a skip for ``reason``; None when there is none."""
    for surrounding, patterns in allowed().items():
        if any(re.fullmatch(pattern, reason) for pattern in patterns) and is_so(surrounding):
            return surrounding
    return None


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What the test gave as its reason."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip that nothing excuses; an expected failure is none."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = reason_of(report)
    if excuse(reason) is None:
        report.outcome = "failed"
        report.longrepr = f"skipped, and tests/{TABLE.name} does not allow it here: {reason}"


# Outermost: pytest itself makes skips into what is no skip.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    judge(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    counts = Counter(excuse(reason_of(report)) for report in skipped)
    if counts:
        parts = [f"{number} ({surrounding})" for surrounding, number in counts.most_common()]
        terminalreporter.section("tests skipped here", sep="-")
        terminalreporter.line(f"{len(skipped)} skipped: {', '.join(parts)}")
