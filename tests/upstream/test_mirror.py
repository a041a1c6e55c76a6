from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from ndino.common.caches import cache_folder
from ndino.upstream.__main__ import main, set_up_trees
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.mirror import Mirrors
from tests.upstream.conftest import House, git

LMMS_EVAL = '[lmms-eval]\nurl = "{url}"\ncommit = "{commit}"\nrelease = "0.7.3"\n'


@pytest.fixture
def both(house: House) -> House:
    """Both upstream repositories at a host that no name server knows."""
    house.write_pin(house.first)
    text = (
        (house.root / "upstream.toml")
        .read_text()
        .replace(str(house.upstream), "https://git.invalid/llava.git")
    )
    text += LMMS_EVAL.format(url="https://git.invalid/lmms.git", commit=house.first)
    (house.root / "upstream.toml").write_text(text)
    return house


def test_the_mirror_is_bare_shallow_and_enough(house: House, monkeypatch):
    mirror = Mirrors().of(house.pin)
    assert mirror == cache_folder() / "LLaVA-NeXT" / f"{house.first}.git"
    assert git(mirror, "rev-parse", "--is-bare-repository", "--is-shallow-repository").split()[0] == "true"
    assert git(mirror, "rev-list", "--all") == house.first
    house.upstream.rename(house.upstream.with_name("gone"))
    assert house.set_up()
    shutil.rmtree(house.tree)
    clone = house.root / "clone"
    git(house.root, "clone", "--quiet", str(mirror), str(clone))
    assert git(clone, "rev-parse", "HEAD") == house.first


def test_the_commit_is_fetched_although_no_branch_ends_there(house: House, monkeypatch):
    bare = house.root / "bare.git"
    git(house.root, "clone", "--quiet", "--bare", str(house.upstream), str(bare))
    monkeypatch.setenv("LLAVA_NEXT_URL", str(bare))
    house.upstream.rename(house.upstream.with_name("gone"))
    assert git(bare, "rev-parse", "HEAD") == house.second
    assert house.set_up()
    assert git(house.tree, "rev-parse", "HEAD") == house.first


def test_without_mirror_and_source_the_tree_itself_is_enough(house: House):
    house.set_up()
    shutil.rmtree(cache_folder())
    house.upstream.rename(house.upstream.with_name("gone"))
    house.write_patches()
    assert house.set_up()
    assert cache_folder().is_dir()


def test_a_clone_without_the_commit_is_an_error_that_names_both(house: House, monkeypatch):
    shallow = house.root / "shallow"
    git(house.root, "clone", "--quiet", "--depth=1", house.upstream.as_uri(), str(shallow))
    monkeypatch.setenv("LLAVA_NEXT_URL", str(shallow))
    with pytest.raises(
        UpstreamError, match=rf"shallow does not have the pinned commit {house.first}"
    ) as error:
        house.set_up()
    assert not isinstance(error.value, Unreachable)
    assert not house.tree.exists()
    assert list((cache_folder() / "LLaVA-NeXT").iterdir()) == []


def test_what_a_killed_fetch_left_is_removed_after_a_day(house: House):
    folder = cache_folder() / "LLaVA-NeXT"
    for name, age in ((".old", 25 * 3600), (".new", 60)):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (time.time() - age,) * 2)
    Mirrors().of(house.pin)
    assert {path.name for path in folder.iterdir()} == {".new", f"{house.first}.git"}


def test_a_host_out_of_reach_is_one_line_that_helps(both: House, capsys):
    assert set_up_trees(both.root, retry=True) == {}
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith("Out of reach: LLaVA-NeXT and lmms-eval (")
    assert "git.invalid" in said
    assert "all but ENGINE=llava-next works; lmms-eval comes from its release 0.7.3" in said
    assert "make setup LLAVA_NEXT_URL=<mirror or clone> LMMS_EVAL_URL=<mirror or clone>" in said


def test_a_host_out_of_reach_is_asked_again_by_make_setup_alone(both: House, capsys, monkeypatch):
    set_up_trees(both.root, retry=True)
    capsys.readouterr()
    assert set_up_trees(both.root, retry=False) == {}
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("LLAVA_NEXT_URL", str(both.upstream))
    assert set(set_up_trees(both.root, retry=False)) == {"LLaVA-NeXT"}
    assert "Out of reach" not in capsys.readouterr().out
    assert set(set_up_trees(both.root, retry=True)) == {"LLaVA-NeXT"}
    assert capsys.readouterr().out.startswith("Out of reach: lmms-eval (")


def test_a_mirror_that_another_checkout_made_meanwhile_is_found(both: House, capsys):
    set_up_trees(both.root, retry=True)
    mirror = cache_folder() / "LLaVA-NeXT" / f"{both.first}.git"
    git(both.root, "clone", "--quiet", "--bare", str(both.upstream), str(mirror))
    git(mirror, "branch", "pinned", both.first)
    assert set(set_up_trees(both.root, retry=False)) == {"LLaVA-NeXT"}


def test_a_setting_that_names_nothing_is_told_and_the_rest_goes_on(both: House, capsys, monkeypatch):
    monkeypatch.setenv("LLAVA_NEXT_URL", "/no/such/clone")
    monkeypatch.setenv("LMMS_EVAL_URL", str(both.upstream))
    (both.root / "tasks_it").mkdir()
    assert set(set_up_trees(both.root, retry=True)) == {"lmms-eval"}
    said = capsys.readouterr().out
    assert "Out of reach: LLaVA-NeXT (/no/such/clone: " in said


def test_without_git_everything_else_goes_on(both: House, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert set_up_trees(both.root, retry=True) == {}
    assert "Out of reach: LLaVA-NeXT and lmms-eval (git is not installed)" in capsys.readouterr().out


@pytest.fixture
def silent_host():
    """A host that takes a connection and never answers; counts who came."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    came.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in came:
        connection.close()


def test_a_silent_host_is_asked_once_and_not_for_long(both: House, silent_host, capsys, monkeypatch):
    address, came = silent_host
    monkeypatch.setattr("ndino.upstream.mirror.PROBE_SECONDS", 1)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLAVA_NEXT_URL", f"{address}/llava.git")
    monkeypatch.setenv("LMMS_EVAL_URL", f"{address}/lmms.git")
    assert set_up_trees(both.root, retry=True) == {}
    assert len(came) <= 1  # none where git starts slower than it is waited for
    assert "no answer in 1 seconds" in capsys.readouterr().out


def test_nobody_is_asked_for_a_password(house: House, tmp_path, monkeypatch):
    """A host that wants a login, and every way in which git could ask for one."""
    asked = tmp_path / "asked"
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    ask.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(ask))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(f"[core]\n\taskPass = {ask}\n")
    script = (
        "from http.server import *\n"
        "class Login(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(401)\n"
        "        self.send_header('WWW-Authenticate', 'Basic realm=x')\n"
        "        self.end_headers()\n"
        "server = HTTPServer(('127.0.0.1', 0), Login)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        monkeypatch.setenv("LLAVA_NEXT_URL", f"http://127.0.0.1:{host.stdout.readline().strip()}/x.git")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(Unreachable):
            house.set_up()
    finally:
        host.kill()
        host.wait()
    assert not asked.exists()


def test_errors_are_one_line_and_a_non_zero_exit(tmp_path, monkeypatch, capsys):
    def fails(**options: bool) -> None:
        raise UpstreamError("this is wrong (remedy: that)")

    monkeypatch.setattr("ndino.upstream.__main__.setup", fails)
    assert main(["setup"]) == 1
    assert capsys.readouterr().err == "ndino.upstream: this is wrong (remedy: that)\n"
