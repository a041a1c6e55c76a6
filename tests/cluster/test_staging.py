"""What is fetched for nodes without a network: from a hub and a site on this machine to what tasks read."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from datasets import Image as ImageFeature
from datasets import Value

from ndino.cluster import staging
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.hub_folders import write_split
from tests.evaluation.benchmarks import draw_image

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARTS = ("testdev_balanced_images", "train_balanced_images")


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, with what the hub's client wants to know of each."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(urlsplit(path).path.replace("/resolve/", "/").replace(f"/{COMMIT}", ""))

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"one"')
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path) -> Iterator[str]:
    """The address of a hub that has lmms-lab/GQA, README and all, and of the questions."""
    root = tmp_path / "site"
    repository = root / "datasets" / "lmms-lab" / "GQA"
    for part in PARTS:
        write_split(
            repository / part,
            "testdev",
            [{"id": f"n{i}", "image": draw_image(i)} for i in range(4)],
            {"id": Value("string"), "image": ImageFeature()},
        )
        (repository / part / "README.md").unlink()
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: gone/*\n---\n"
    )
    files = [path for path in repository.rglob("*") if path.is_file()]
    tree = [
        {
            "type": "file",
            "path": str(path.relative_to(repository)),
            "size": path.stat().st_size,
            "oid": str(number),
        }
        for number, path in enumerate(files)
    ]
    api = root / "api" / "datasets" / "lmms-lab" / "GQA"
    (api / "tree").parent.mkdir(parents=True)
    (api / "tree").write_text(json.dumps(tree))
    (api / "index.html").write_text(json.dumps({"id": "lmms-lab/GQA", "sha": COMMIT, "tags": []}))
    rows = [
        {"question_id": str(i), "img_id": f"n{i}", "sent": "Di che colore è?", "label": {colour: 1.0}}
        for i, colour in enumerate(("rosso", "verde", "blu", "giallo"))
    ]
    (root / "questions.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (root / "sign-in.json.gz").write_text("<html>Sign in</html>")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=str(root))
    )
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def gqa(folder: Path) -> tuple[staging.StagedRepository, staging.QuestionFile]:
    """What is fetched for GQA-it."""
    items = staging.wanted(folder / "models", folder, baselines=(), codes=("it",))
    (images,) = [item for item in items if item.source == "lmms-lab/GQA"]
    (questions,) = [item for item in items if isinstance(item, staging.QuestionFile)]
    return images, questions


PROGRAM = """
import sys
from pathlib import Path
from ndino.cluster import staging
for item in staging.wanted(Path("models"), Path(sys.argv[1]), baselines=(), codes=("it",)):
    if item.source == "lmms-lab/GQA":
        staging.fetch(item)
"""


def fetch_images(folder: Path, hub: str) -> subprocess.CompletedProcess:
    """In a process of its own: the hub's client reads its address when it is imported."""
    where = {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", PROGRAM, str(folder / "benchmarks")]
    return subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True)


def test_every_data_set_of_the_tasks_is_fetched(tmp_path):
    for item in staging.wanted(tmp_path / "models", tmp_path, baselines=(), codes=("it",)):
        item.folder.mkdir(parents=True)
        (item.folder / "file").touch()
    assert len(Benchmarks(["ndino-it"], data=tmp_path).names) == 7


def test_of_benchmarks_in_another_language_only_gqas_images_are_on_the_hub(tmp_path):
    items = staging.wanted(tmp_path / "models", tmp_path, baselines=(), codes=("es",))
    assert [item.source for item in items if "models" not in item.folder.parts] == ["lmms-lab/GQA"]


def test_what_is_fetched_for_gqa_is_what_its_task_reads(tmp_path, site, monkeypatch):
    done = fetch_images(tmp_path, site)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "benchmarks"
    images, questions = gqa(folder)
    staging.fetch(dataclasses.replace(questions, source=f"{site}/questions.json.gz"))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"lmms-lab/GQA/data/testdev.parquet", "crux82/gqa-it/questions.json.gz"}
    assert not [path for path in folder.rglob("*.partial")]
    monkeypatch.chdir(folder)
    benchmarks = Benchmarks(["gqa-it"], data=folder, cache=tmp_path / "cache")
    benchmarks.load()
    task = benchmarks.task("gqa-it").task
    assert task.doc_to_target(task.eval_docs[2]) == "blu"
    (shown,) = task.doc_to_visual(task.eval_docs[2])
    assert shown.getpixel((0, 0)) == pytest.approx(draw_image(2).getpixel((0, 0)), abs=3)
    # Both are there: nobody is asked.
    staging.fetch(images)
    staging.fetch(questions)


def test_what_was_cut_off_is_not_taken_for_the_whole(tmp_path, site):
    torn = tmp_path / "benchmarks" / "lmms-lab" / "GQA.partial" / PARTS[0] / "testdev.parquet"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PAR1")
    away = fetch_images(tmp_path, "http://127.0.0.1:9")
    assert "lmms-lab/GQA: cannot be fetched: " in away.stderr and "(remedy: run this where" in away.stderr
    assert not (tmp_path / "benchmarks" / "lmms-lab" / "GQA").exists()
    assert fetch_images(tmp_path, site).returncode == 0
    whole = tmp_path / "benchmarks" / "lmms-lab" / "GQA" / "data" / "testdev.parquet"
    assert whole.stat().st_size > len(b"PAR1")


@pytest.mark.parametrize(
    ("name", "reason"), [("nothing.json.gz", "HTTP 404"), ("sign-in.json.gz", "Not a gzipped file")]
)
def test_questions_that_are_not_to_be_had(tmp_path, site, name, reason):
    item = dataclasses.replace(gqa(tmp_path)[1], source=f"{site}/{name}")
    with pytest.raises(staging.StagingError) as error:
        staging.fetch(item)
    text = str(error.value)
    assert text.startswith(f"{site}/{name}: cannot be fetched: {reason}") and "\n" not in text
    assert text.endswith(f"(remedy: run this where there is a network, or copy it to {item.folder})")
    assert not item.folder.exists()
