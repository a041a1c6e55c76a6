"""Set up the upstream trees, or take our changes off them.

python -m ndino.upstream setup      # after every change of pin, patches or overlay; a second run does nothing
python -m ndino.upstream unpatch
"""

from __future__ import annotations

import argparse
import json
import sys

from ndino.upstream.checkout import restore, set_up
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.install import install_lmms_eval
from ndino.upstream.mirror import Mirrors
from ndino.upstream.overlay import IN_LMMS_EVAL, link, lmms_eval_folder, unlink
from ndino.upstream.pins import LMMS_EVAL, ROOT, Pin, read_pins


def setup(*, retry: bool) -> None:
    """Trees, lmms-eval and its tasks; what cannot be fetched is told in one line and left out.

    Args:
        retry: whether to ask again for what could not be fetched the last time.
    """
    pins, mirrors = read_pins(), Mirrors()
    note = ROOT / "third_party" / ".unreachable"
    known = {} if retry or not note.exists() else json.loads(note.read_text())
    missing: dict[str, str] = {}
    for name, pin in pins.items():
        if known.get(name) == pin.source and not pin.folder.exists():
            missing[name] = ""
            continue
        try:
            set_up(pin, mirrors)
        except Unreachable as error:
            missing[name] = str(error)
    if any(missing.values()):
        print(_without([pins[name] for name in missing], next(filter(None, missing.values()))))
    unreachable = {name: pins[name].source for name in missing}
    if unreachable != known:
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps(unreachable))
    pin = pins[LMMS_EVAL]
    if pin.release is None:
        raise UpstreamError(f"upstream.toml: [{pin.name}] release is missing")
    install_lmms_eval(None if pin.name in missing else pin.folder, pin.release)
    link(lmms_eval_folder(), IN_LMMS_EVAL)


def _without(pins: list[Pin], reason: str) -> str:
    """One line: what could not be fetched, what works without it, which setting helps."""
    names = " and ".join(pin.name for pin in pins)
    consequence = [
        f"lmms-eval comes from its release {pin.release}"
        if pin.name == LMMS_EVAL
        else "all but ENGINE=llava-next works"
        for pin in pins
    ]
    settings = " ".join(f"{pin.setting}=<mirror or clone>" for pin in pins)
    return (
        f"Out of reach: {names} ({reason}). Without: {'; '.join(consequence)}. Remedy: make setup {settings}"
    )


def unpatch() -> None:
    """The pristine commits back, and our tasks out of an lmms-eval that came from its release."""
    mirrors = Mirrors()
    for pin in read_pins().values():
        if restore(pin, mirrors):
            print(f"{pin.name}: {pin.commit} is back as upstream wrote it")
    if links := unlink(lmms_eval_folder(), IN_LMMS_EVAL):
        print(f"lmms-eval: {links} link(s) removed")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ndino.upstream", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("setup", help="fetch, verify, patch and lay over")
    command.add_argument("--retry", action="store_true", help="ask again for what could not be fetched")
    commands.add_parser("unpatch", help="put the pristine commits back")
    options = parser.parse_args(arguments)
    try:
        if options.command == "setup":
            setup(retry=options.retry)
        else:
            unpatch()
    except (UpstreamError, OSError) as error:
        print(f"ndino.upstream: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
