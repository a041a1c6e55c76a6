"""lmms-eval changes between release and tree, in an environment of its own, with a made-up package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = """
import sys
from pathlib import Path
from ndino.upstream.install import install_lmms_eval
from ndino.upstream.overlay import IN_LMMS_EVAL, link, lmms_eval_folder
changed = install_lmms_eval(Path(sys.argv[1]) if sys.argv[1] else None, "0.7.3")
links = link(lmms_eval_folder(), IN_LMMS_EVAL)
print("changed" if changed else "same", links, lmms_eval_folder())
"""
SHOW = "import lmms_eval; print(lmms_eval.FROM, lmms_eval.__path__[0])"


class Environment:
    def __init__(self, folder: Path, wheels: Path) -> None:
        venv.create(folder, with_pip=True, symlinks=True)
        self.python = folder / "bin" / "python"
        self.packages = next(folder.glob("lib/python*/site-packages"))
        self.variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self.variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}

    def run(self, code: str, *arguments: str) -> list[str]:
        command = [str(self.python), "-c", code, *arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1].split()

    def install(self, tree: Path | None) -> str:
        return self.run(INSTALL, str(tree or ""))[0]

    def shows(self) -> list[str]:
        return self.run(SHOW)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    tree = tmp_path_factory.mktemp("third_party") / "lmms-eval"
    (tree / "lmms_eval" / "tasks").mkdir(parents=True)
    (tree / "lmms_eval" / "__init__.py").write_text('FROM = "tree"\n')
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "lmms_eval"\nversion = "0.7.2"\n'
        '[tool.setuptools.packages.find]\ninclude = ["lmms_eval*"]\n'
    )
    return tree


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    wheels = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(wheels / "lmms_eval-0.7.3-py3-none-any.whl", "w") as wheel:
        about = "lmms_eval-0.7.3.dist-info"
        wheel.writestr("lmms_eval/__init__.py", 'FROM = "release"\n')
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: lmms_eval\nVersion: 0.7.3\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    environment = Environment(tmp_path_factory.mktemp("environment") / "venv", wheels)
    # What the package needs to read our pins and to be built, as in the real environment.
    ours = Path(sysconfig.get_path("purelib"))
    for pattern in ("setuptools", "setuptools-*", "_distutils_hack", "tomli*"):
        for path in ours.glob(pattern):
            shutil.copytree(path, environment.packages / path.name, dirs_exist_ok=True)
    return environment


def test_release_tree_and_release_again(environment: Environment, tree: Path):
    release = environment.packages / "lmms_eval"
    assert environment.install(None) == "changed"
    assert environment.shows() == ["release", str(release)]
    assert (release / "tasks" / "ndino_it" / "ndino_it.yaml").is_file()
    assert environment.install(None) == "same"

    assert environment.install(tree) == "changed"
    assert not release.exists()
    assert environment.shows() == ["tree", str(tree / "lmms_eval")]
    assert (tree / "lmms_eval" / "tasks" / "ndino_it" / "ndino_it.yaml").is_file()
    assert environment.install(tree) == "same"

    assert environment.install(None) == "changed"
    assert environment.shows() == ["release", str(release)]
    assert not (tree / "lmms_eval" / "tasks" / "ndino_it").exists()


def test_an_installation_that_was_cut_off_is_made_anew(environment: Environment):
    environment.install(None)
    (environment.packages / "lmms_eval-0.7.3.dist-info" / "RECORD").unlink()
    (environment.packages / "lmms_eval" / "__init__.py").unlink()
    assert environment.install(None) == "changed"
    assert environment.shows()[0] == "release"
    assert environment.install(None) == "same"
