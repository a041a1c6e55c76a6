"""The layout of docs/architecture.md: imports go one way, folders stay small, docs name what exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each part of the package may import. A step of the pipeline never imports the next one.
ALLOWED: dict[str, set[str]] = {
    "common": set(),
    "formats": {"common"},
    "languages": {"common"},
    "upstream": {"common"},
    "data": {"common", "formats", "languages"},
    "train": {"common", "formats"},
    "export": {"common", "formats"},
    "serving": {"common", "formats"},
    "llava_next": {"common", "formats", "train", "export", "upstream"},
    "evaluation": {"common", "formats", "languages"},
    "chat": {"common", "formats", "languages", "evaluation"},
    "judge": {"common", "formats", "languages", "evaluation", "results"},
    "results": {"common", "languages", "data"},
    "cluster": {"common", "formats", "data", "train", "llava_next", "evaluation"},
}
LARGEST_FOLDER = 15
LONGEST_FILE = 400  # lines
PAGES = sorted(
    path
    for path in ROOT.glob("**/*.md")
    if not {"third_party", ".venv", ".venv-llava", ".cache", "runs"} & {*path.relative_to(ROOT).parts}
)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_parts_below_it(part):
    files = sorted((ROOT / "ndino" / part).rglob("*.py"))
    assert files
    used = {
        (str(path.relative_to(ROOT)), name.split(".")[1])
        for path in files
        for name in imports(path)
        if name.startswith("ndino.")
    }
    forbidden = {(path, other) for path, other in used if other not in ALLOWED[part] | {part}}
    assert not forbidden


def test_every_part_is_listed():
    assert {path.name for path in (ROOT / "ndino").iterdir() if (path / "__init__.py").exists()} == {*ALLOWED}


# What tests share with these is in fixtures/.
@pytest.mark.parametrize("folder", ["benchmarks", "fixtures", "miniature", "ndino", "overlay", "tasks_it"])
def test_nothing_imports_the_tests(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert not [
        (path.name, name) for path in files for name in imports(path) if name.split(".")[0] == "tests"
    ]


def test_no_folder_holds_more_modules_than_a_reader_can_keep_in_mind():
    roots = [ROOT / name for name in ("ndino", "miniature", "benchmarks", "overlay")]
    folders = {path.parent for root in roots for path in root.rglob("*.py")}
    sizes = {str(folder.relative_to(ROOT)): len([*folder.glob("*.py")]) for folder in folders}
    assert not {folder: size for folder, size in sizes.items() if size > LARGEST_FOLDER}


def test_no_file_is_longer_than_one_job_needs():
    roots = [ROOT / name for name in ("ndino", "miniature", "benchmarks", "fixtures", "overlay", "tasks_it")]
    files = [path for root in roots for path in root.rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}


def test_no_two_classes_share_a_name():
    found: dict[str, list[str]] = {}
    for root in ("ndino", "miniature", "overlay"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_functions_in_docs_exist(page):
    """Code spans such as `ndino/train/loss.py` or `ndino/formats/prompts.py: encode_plain`."""
    for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        path, _, names = span.partition(": ")
        if not re.fullmatch(
            r"(ndino|tests|overlay|launch|miniature|benchmarks|tasks_it|singularity)/[\w./-]+", path
        ):
            continue
        # Written by the user, or one of a kind.
        if path == "launch/cluster.env" or re.search(r"(?<![a-z])(NAME|CODE|TASK)(?![a-z])", path):
            continue
        assert (ROOT / path).exists(), f"{page.name}: {span}"
        if names and path.endswith(".py"):
            source = (ROOT / path).read_text(encoding="utf-8")
            for name in names.split(", "):
                last = name.split(".")[-1].removesuffix("()")
                assert re.search(rf"\b(def|class) {last}\b|^{last}\b", source, re.MULTILINE), (
                    f"{page.name}: {span}"
                )
