"""Set up the upstream trees, or take our changes off them.

python -m ndino.upstream setup      # after every change of pin, patches or overlay; a second run does nothing
python -m ndino.upstream unpatch
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ndino.common.errors import reason_of, remedy_for
from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.common.startup import prepare_process
from ndino.upstream.checkout import restore, set_up
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.install import install_lmms_eval
from ndino.upstream.mirror import Mirrors, mirror_path
from ndino.upstream.overlay import IN_LMMS_EVAL, link, lmms_eval_folder, unlink
from ndino.upstream.pins import LLAVA_NEXT, LMMS_EVAL, ROOT, Pin, read_pins


def set_up_trees(root: Path = ROOT, *, retry: bool, only: str | None = None) -> dict[str, Path]:
    """Bring the trees up to date; prints one line about those that cannot be fetched.

    Args:
        retry: whether to try again to fetch what could not be fetched the last time.
        only: name of the only tree to bring up to date.

    Returns:
        Folders of the trees that are set up, by name.

    Raises:
        UpstreamError: a tree, a patch or an upstream file is not as expected.
    """
    pins, mirrors = read_pins(root), Mirrors()
    if only is not None:
        pins = {only: pins[only]}
    note = root / "third_party" / ".unreachable"
    known = {} if retry or not note.exists() else read_json(note)
    reasons: dict[str, str] = {}
    for name, pin in pins.items():
        if known.get(name) == pin.source and not pin.folder.exists() and not mirror_path(pin).exists():
            reasons[name] = ""
            continue
        try:
            set_up(pin, mirrors)
        except Unreachable as error:
            reasons[name] = str(error)
    if any(reasons.values()):
        print(_without([pins[name] for name in reasons], next(filter(None, reasons.values()))))
    others = {name: source for name, source in known.items() if name not in pins}
    unreachable = others | {name: pins[name].source for name in reasons}
    if unreachable != known:
        write_json(note, unreachable)
    return {name: pin.folder for name, pin in pins.items() if name not in reasons}


def setup(*, retry: bool, only: str | None = None) -> None:
    """Set up the trees, install lmms-eval in this environment, and link our tasks into it."""
    trees = set_up_trees(retry=retry, only=only)
    if only not in (None, LMMS_EVAL):
        return
    install_lmms_eval(trees.get(LMMS_EVAL), read_pins()[LMMS_EVAL].release)
    link(lmms_eval_folder(), IN_LMMS_EVAL)


def _without(pins: list[Pin], reason: str) -> str:
    """One line: what could not be fetched, what works without it, and which setting helps."""
    names = " and ".join(pin.name for pin in pins)
    consequence = [
        f"lmms-eval comes from its release {pin.release}"
        if pin.name == LMMS_EVAL
        else "all but ENGINE=llava-next works"
        for pin in pins
    ]
    settings = " ".join(f"{pin.setting}=<mirror or clone>" for pin in pins)
    return (
        f"Out of reach: {names} ({reason}). Without: {'; '.join(consequence)} (remedy: make setup {settings})"
    )


def unpatch() -> None:
    """Restore the pristine commits, and remove our tasks from an lmms-eval installed from its release."""
    mirrors = Mirrors()
    for pin in read_pins().values():
        if restore(pin, mirrors):
            print(f"{pin.name}: {pin.commit} is back as upstream wrote it")
    if links := unlink(lmms_eval_folder(), IN_LMMS_EVAL):
        print(f"lmms-eval: {links} link(s) removed")


def main(arguments: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m ndino.upstream", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("setup", help="fetch, verify, patch and lay over")
    command.add_argument("--retry", action="store_true", help="ask again for what could not be fetched")
    command.add_argument(
        "--only", choices=(LLAVA_NEXT, LMMS_EVAL), help="one of the trees, as an image needs it"
    )
    commands.add_parser("unpatch", help="put the pristine commits back")
    options = parser.parse_args(arguments)
    try:
        if options.command == "setup":
            setup(retry=options.retry, only=options.only)
        else:
            unpatch()
    except UpstreamError as error:
        print(f"ndino.upstream: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        remedy = remedy_for(error, "give the same command again")
        print(f"ndino.upstream: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    prepare_process(caches=False)  # the mirrors look after theirs
    sys.exit(main())
