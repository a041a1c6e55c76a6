"""What several test modules share."""

from __future__ import annotations

import functools
import gc
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from PIL import ImageFile

from ndino.evaluation.perplexity.answer_sets import AnswerItem
from ndino.upstream import UpstreamError, llava_next_folder

pytest_plugins = ["tests.skips"]
UPSTREAM_PYTHON = Path(__file__).parents[1] / ".venv-llava" / "bin" / "python"

# A loaded machine is slow, and that is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# By default a property gets the same examples in every run; `search` (CONTRIBUTING.md) looks for new ones.
settings.register_profile("repeated", UNTIMED, derandomize=True, database=None)
settings.register_profile("search", UNTIMED, derandomize=False, max_examples=1000)
settings.load_profile("repeated")

# Both are read once, when `datasets` and the hub's client are imported: tests neither fill the user's cache
# nor wait for a hub.
_CACHE = tempfile.TemporaryDirectory(prefix="ndino-datasets-")
os.environ["HF_DATASETS_CACHE"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_sessionstart() -> None:
    """In a shell's background pytest ignores Ctrl-C, and so would what tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def torn_images_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    # lmms-eval switches this off for the whole process as soon as it is imported.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA-NeXT of a few hundred kilobytes with LLaMA 3's markers, laid out as our own."""
    from fixtures.tiny import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seven benchmarks with four questions each (POPE: of each category), on images of four colours."""
    from tests.evaluation.benchmarks import write_benchmarks

    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"), rows=4)


@pytest.fixture
def answers_file(tmp_path: Path) -> Path:
    """Five answers with images of five shapes, as a JSONL file beside the folder ``images``."""
    from tests.evaluation.answer_files import write_answers

    return write_answers(tmp_path)


@pytest.fixture
def answer_items(answers_file: Path) -> list[AnswerItem]:
    """The answers of ``answers_file``."""
    from tests.evaluation.answer_files import read_answers

    return read_answers(answers_file)


def pytest_collection_finish() -> None:
    """statsmodels collects garbage in every call: what is loaded by now is none."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that need the upstream trainer are skipped, and told why, where it is not set up."""
    if item.get_closest_marker("upstream") and (missing := upstream_missing()):
        pytest.skip(missing)


@functools.cache
def upstream_missing() -> str:
    try:
        llava_next_folder()
    except UpstreamError as error:
        return str(error)
    return "" if UPSTREAM_PYTHON.exists() else ".venv-llava is not there (remedy: make setup)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The share of ndino's lines that ran in the test processes; what they start in others is not counted."""
    plugin = config.pluginmanager.get_plugin("_cov")
    if plugin is not None and plugin.cov_total is not None:
        terminalreporter.line(f"coverage of ndino: {plugin.cov_total:.0f} % of lines")
