from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.common.caches import cache_folder
from ndino.upstream.checkout import llava_next_folder, restore
from ndino.upstream.errors import UpstreamError
from ndino.upstream.mirror import Mirrors
from tests.upstream.conftest import PATCH, TRAIN, House, git, sha_of
from tests.work import calls_in

PATCHED = "import sys\nimport ours\n\n\ndef train():\n    return 1\n"
SECOND = PATCH.replace("@@ -1,0 +2 @@\n+import ours", "@@ -6,0 +7,2 @@\n+\n+train()")


def contents(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): path.read_text()
        for path in tree.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(tree).parts
    }


def test_the_tree_is_the_pinned_commit_patched_and_laid_over(house: House):
    assert house.set_up()
    assert git(house.tree, "rev-parse", "HEAD") == house.first
    assert contents(house.tree) == {
        ".gitignore": "__pycache__/\ncheckpoints/\n",
        "llava/train.py": PATCHED,
        "llava/other.py": "other = 1\n",
        "llava/ndino/hooks.py": "hooks = 1\n",
    }
    assert git(house.tree, "rev-list", "--all", "--count") in ("0", "1")
    assert llava_next_folder(house.root) == house.tree
    (house.root / "overlay" / "llava" / "ndino" / "hooks.py").write_text("hooks = 2\n")
    assert contents(house.tree)["llava/ndino/hooks.py"] == "hooks = 2\n"


def test_patches_apply_in_order_each_on_top_of_the_last(house: House):
    house.write_patches(**{"0001-one": PATCH, "0002-two": SECOND})
    house.set_up()
    assert contents(house.tree)["llava/train.py"] == PATCHED + "\ntrain()\n"


def test_a_second_run_changes_nothing_and_does_little(house: House, capsys):
    house.set_up()
    before = house.tree.stat().st_ino
    capsys.readouterr()
    changed = []
    # 5,700 of them; a first one takes 13,900 or more.
    assert calls_in(lambda: changed.append(house.set_up())) < 8_000
    assert changed == [False]
    assert house.tree.stat().st_ino == before
    assert capsys.readouterr().out == ""


def test_a_changed_patch_overlay_or_pin_is_taken_up(house: House):
    house.set_up()
    house.write_patches(**{"0001-one": PATCH.replace("import ours", "import theirs")})
    with pytest.raises(UpstreamError, match="not up to date"):
        llava_next_folder(house.root)
    assert house.set_up()
    assert "import theirs" in contents(house.tree)["llava/train.py"]
    (house.root / "overlay" / "llava" / "ndino" / "more.py").write_text("more\n")
    assert house.set_up()
    assert contents(house.tree)["llava/ndino/more.py"] == "more\n"
    house.write_pin(house.second, **{"llava/train.py": sha_of("# moved\n" + TRAIN)})
    assert house.set_up()
    assert git(house.tree, "rev-parse", "HEAD") == house.second
    assert contents(house.tree)["llava/train.py"].startswith("# moved\nimport theirs\n")


def test_a_link_that_was_lost_comes_back(house: House):
    house.set_up()
    (house.tree / "llava" / "ndino" / "hooks.py").unlink()
    assert house.set_up()
    assert contents(house.tree)["llava/ndino/hooks.py"] == "hooks = 1\n"


def test_unpatch_gives_the_pristine_commit_back(house: House):
    house.set_up()
    cache = house.tree / "llava" / "__pycache__"
    cache.mkdir()
    (cache / "train.pyc").write_text("compiled")
    assert restore(house.pin, Mirrors())
    assert git(house.tree, "status", "--porcelain", "--ignored") == ""
    assert git(house.tree, "rev-parse", "HEAD") == house.first
    assert contents(house.tree)["llava/train.py"] == TRAIN
    assert not restore(house.pin, Mirrors())
    assert house.set_up()
    assert contents(house.tree)["llava/train.py"] == PATCHED


def test_unpatch_without_a_tree_does_nothing(house: House):
    assert not restore(house.pin, Mirrors())
    assert not house.tree.parent.exists()


def tampered(house: House) -> None:
    (house.tree / "llava" / "train.py").write_text("mine\n")


def added(house: House) -> None:
    (house.tree / "llava" / "mine.py").write_text("mine\n")


def removed(house: House) -> None:
    (house.tree / "llava" / "other.py").unlink()


def reverted(house: House) -> None:
    (house.tree / "llava" / "train.py").write_text(TRAIN)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(tampered, "train.py"), (added, "mine.py"), (removed, "other.py"), (reverted, "train.py")],
)
@pytest.mark.parametrize("act", [House.set_up, lambda house: restore(house.pin, Mirrors())])
def test_a_dirty_tree_is_named_and_left_alone(house: House, spoil, name, act):
    house.set_up()
    spoil(house)
    before = contents(house.tree)
    with pytest.raises(UpstreamError, match=rf"is dirty: llava/{name} \(remedy: .*git -C"):
        act(house)
    assert contents(house.tree) == before


def test_results_that_upstream_ignores_are_not_lost(house: House):
    house.set_up()
    (house.tree / "checkpoints").mkdir()
    (house.tree / "checkpoints" / "model.bin").write_text("weeks of work")
    assert not house.set_up()
    house.write_patches(**{"0002-two": SECOND})
    with pytest.raises(UpstreamError, match=r"dirty: checkpoints/"):
        house.set_up()
    assert (house.tree / "checkpoints" / "model.bin").read_text() == "weeks of work"


def test_a_wrong_commit_is_named_and_left_alone(house: House):
    house.set_up()
    git(house.tree, "fetch", "--quiet", "--depth=1", str(house.upstream), house.second)
    git(house.tree, "checkout", "--quiet", "--force", house.second)
    with pytest.raises(UpstreamError, match=rf"at the wrong commit: {house.second}.*checkout {house.first}"):
        house.set_up()
    assert git(house.tree, "rev-parse", "HEAD") == house.second


@pytest.mark.parametrize("is_clone", [True, False])
def test_a_folder_that_is_not_ours_is_left_alone(house: House, is_clone):
    house.tree.parent.mkdir()
    if is_clone:
        git(house.root, "clone", "--quiet", str(house.upstream), str(house.tree))
    else:
        house.tree.mkdir()
        (house.tree / "mine").write_text("mine")
    before = contents(house.tree)
    for act in (house.set_up, lambda: restore(house.pin, Mirrors())):
        with pytest.raises(UpstreamError, match=r"not made by set-up .*move it away.*LLAVA_NEXT_URL="):
            act()
    assert contents(house.tree) == before


def test_a_changed_upstream_file_is_named_and_nothing_is_touched(house: House):
    house.set_up()
    before = contents(house.tree)
    house.write_pin(house.second)
    found = sha_of("# moved\n" + TRAIN)
    with pytest.raises(UpstreamError, match=rf"upstream changed llava/train\.py: .*sha256 is {found}"):
        house.set_up()
    assert contents(house.tree) == before
    assert house.left_over() == []


@pytest.mark.parametrize("hunk", ["@@ -99,0 +100 @@", "@@ -1,0 +4 @@", "@@ -2,0 +2 @@"])
def test_a_hunk_is_never_moved_to_where_it_fits(house: House, hunk):
    house.set_up()
    before = contents(house.tree)
    house.put_patches(**{"0001-one": PATCH, "0002-far": PATCH.replace("@@ -1,0 +2 @@", hunk)})
    with pytest.raises(
        UpstreamError,
        match=r"after the patches the sha256 of llava/train\.py is .*upstream\.toml says .*line numbers",
    ):
        house.set_up()
    assert contents(house.tree) == before
    assert house.left_over() == []


def test_a_tree_that_other_hashes_were_pinned_for_is_built_again(house: House):
    house.set_up()
    text = (house.root / "upstream.toml").read_text()
    (house.root / "upstream.toml").write_text(text.replace(sha_of(PATCHED), "0" * 64))
    with pytest.raises(UpstreamError, match="not up to date"):
        llava_next_folder(house.root)
    with pytest.raises(UpstreamError, match=f"llava/train.py is {sha_of(PATCHED)}, upstream.toml says 000"):
        house.set_up()


def test_a_patch_of_a_file_whose_hash_is_not_pinned_is_refused(house: House):
    house.put_patches(**{"0001-other": PATCH.replace("train.py", "other.py")})
    with pytest.raises(UpstreamError, match=r"0001-other\.patch touches llava/other\.py, whose sha256"):
        house.set_up()
    assert not house.tree.exists()


def test_an_overlay_file_never_replaces_one_of_upstream(house: House):
    (house.root / "overlay" / "llava" / "other.py").write_text("ours\n")
    with pytest.raises(UpstreamError, match=r"other\.py is upstream's and is not replaced"):
        house.set_up()
    assert not house.tree.exists()


def test_a_damaged_mirror_is_named(house: House):
    house.set_up()
    shutil.rmtree(house.tree)
    (mirror,) = (cache_folder() / "LLaVA-NeXT").iterdir()
    shutil.rmtree(mirror / "objects")
    with pytest.raises(UpstreamError, match=r"mirror .* is damaged: .*remedy: rm -r "):
        house.set_up()
    assert house.left_over() == []


def test_the_users_git_settings_do_not_change_the_files(house: House, tmp_path, monkeypatch):
    settings = tmp_path / "gitconfig"
    settings.write_text(
        "[core]\n\tautocrlf = true\n[apply]\n\twhitespace = error-all\n\tignoreWhitespace = change\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_DIR", str(house.upstream / ".git"))
    house.write_patches(**{"0001-one": PATCH.replace("import ours", "import ours  ")})
    house.set_up()
    assert (house.tree / "llava" / "train.py").read_bytes() == PATCHED.replace("ours", "ours  ").encode()
    assert not house.set_up()


KILLED = """
import os, sys
from pathlib import Path
from ndino.upstream.checkout import set_up
from ndino.upstream.mirror import Mirrors
from ndino.upstream.pins import read_pins

left = int(sys.argv[2])
def count(event, arguments):
    global left
    if event in ("subprocess.Popen", "os.rename", "os.symlink", "os.mkdir", "os.rmdir", "os.remove"):
        left -= 1
        if left == 0:
            os._exit(9)
pin = read_pins(Path(sys.argv[1]))["LLaVA-NeXT"]
sys.addaudithook(count)
set_up(pin, Mirrors())
"""


@pytest.mark.parametrize("old", [False, True], ids=["nothing before", "another patch before"])
def test_killed_at_any_step_it_leaves_the_old_tree_the_new_one_or_none(house: House, old):
    before: list[dict[str, str]] = [{}]
    if old:
        house.write_patches(**{"0001-one": PATCH.replace("ours", "older")})
        house.set_up()
        before.append(contents(house.tree))
        spare = house.root / "spare"
        house.tree.rename(spare)
        house.write_patches(**{"0001-one": PATCH})
    house.set_up()
    after = contents(house.tree)
    step, code = 0, 9
    while code == 9:
        step += 1
        shutil.rmtree(house.tree.parent)
        shutil.rmtree(cache_folder())
        if old:
            house.tree.parent.mkdir()
            shutil.copytree(spare, house.tree, symlinks=True)
        command = [sys.executable, "-c", KILLED, str(house.root), str(step)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
        )
        code = done.returncode
        assert code in (0, 9), done.stderr
        assert (contents(house.tree) if house.tree.exists() else {}) in [*before, after]
        house.set_up()
        assert contents(house.tree) == after
        assert house.left_over() == []
    assert step > 15
