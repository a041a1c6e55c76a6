"""The rows that an earlier run left in ``--out``: continued, extended, replaced when whole, or refused."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ndino.common.files import write_json, write_text
from ndino.common.parsing import parse_json
from ndino.evaluation.controls import RIGHT, SHUFFLED, log_name
from ndino.evaluation.perplexity.answer_sets import AnswerItem
from ndino.evaluation.perplexity.scorer import PerplexityError, Score
from ndino.evaluation.provenance import what_changed


def marker_of(out: Path) -> Path:
    """The file that records all that the rows in ``out`` depend on."""
    return out.with_name(f"{out.name}.fingerprint")


def require_named_as(out: Path, shuffled: bool) -> None:
    """Check that ``out`` is named ``NAME.shuffled.jsonl`` exactly where it will hold the control.

    Raises:
        PerplexityError: a control would pass for the model's own result, or the other way round.
    """
    ending = f".{SHUFFLED}"
    if shuffled and not out.stem.endswith(ending):
        control = out.with_name(log_name(out.stem, SHUFFLED))
        raise PerplexityError(f"{out}: is no name for the control (remedy: {control})")
    if not shuffled and out.stem.endswith(ending):
        own = out.with_name(log_name(out.stem.removesuffix(ending), RIGHT))
        raise PerplexityError(f"{out}: is a control's name (remedy: --shuffle, or --out {own})")


def place_for(
    out: Path, asked: Mapping[str, Any], items: Sequence[AnswerItem], *, replace_data: bool = False
) -> Path:
    """Where the rows of ``items`` are written until they are whole.

    That is ``out`` itself, or a file beside it where ``out`` holds rows that were made otherwise. Rows of
    the same answers by the same model and software are taken over.

    Args:
        asked: what the marker is to record: ``key``, ``model``, ``weights`` and ``depends``.
        replace_data: rows of other data may be replaced.

    Raises:
        PerplexityError: ``out`` is not ours, or holds rows of another model or of other data, which would
            be lost.
    """
    if out.exists() and not marker_of(out).exists():
        raise PerplexityError(f"{out} exists and is not ours (remedy: choose another output)")
    held = _held(out)
    if held.get("key") == asked["key"]:
        return out
    if not out.exists():
        out.with_suffix(".json").unlink(missing_ok=True)
        write_json(marker_of(out), asked)
        return out
    if all(held.get(name) not in (None, asked[name]) for name in ("model", "weights")):
        raise PerplexityError(
            f"{out}: holds rows of {held['model']}, which has other weights "
            "(remedy: choose another --out, or remove that file)"
        )
    scored = [row for row in finished(out).values() if not row.skipped]
    before, now = held.get("depends"), asked["depends"]
    if not replace_data and before is not None and not _same_data(before, now):
        _require_none_lost(out, scored, items)
    kept: list[Score] = []
    if before is not None and before["answers"] == now["answers"]:
        kept = _taken_over(scored, items)
        said = f"{len(kept)} of its {len(scored)} answers are kept, the others are scored"
    else:
        said = f"stale and made again, since this changed: {what_changed(before, now)}"
    print(f"ndino perplexity: {out}: {said}", file=sys.stderr)
    beside = _beside(out)
    if not beside.exists() or _held(beside).get("key") != asked["key"]:
        marker_of(beside).unlink(missing_ok=True)
        write_text(beside, lines(kept))
        write_json(marker_of(beside), asked)
    return beside


def finish(out: Path, place: Path, rows: Iterable[Score], summary: Mapping[str, Any]) -> None:
    """Write the whole result; what ``out`` held before is replaced only now."""
    write_text(place, lines(rows))
    if place != out:
        place.replace(out)
    write_json(out.with_suffix(".json"), summary)
    if place != out:
        # Last: rows without it are made again.
        marker_of(place).replace(marker_of(out))
    for leftover in (_beside(out), marker_of(_beside(out))):
        leftover.unlink(missing_ok=True)


def finished(out: Path) -> dict[str, Score]:
    """The rows in a file by id; a killed run may leave half a line at its end, which is left out."""
    done: dict[str, Score] = {}
    if not out.exists():
        return done
    for line in out.read_bytes().split(b"\n"):
        try:
            score = Score(**parse_json(line))
        except (ValueError, TypeError):
            break  # the rest is scored again
        done[score.id] = score
    return done


def lines(scores: Iterable[Score]) -> str:
    """Rows as they are written."""
    return "".join(json.dumps(asdict(score)) + "\n" for score in scores)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _held(out: Path) -> dict[str, Any]:
    """What ``out`` was made from; the key alone where an earlier version wrote it."""
    marker = marker_of(out)
    if not marker.exists():
        return {}
    text = marker.read_text(encoding="utf-8")
    return parse_json(text) if text.startswith("{") else {"key": text}


def _same_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two results are of the same answers about the same images."""
    # Another way of opening images gives the same files other digests.
    opened_alike = before["answers"].get("wrapper") == now["answers"]["wrapper"]
    names = ("questions", "texts", *(["images"] if opened_alike else []))
    return all(before["task"].get(name) == now["task"][name] for name in names)


def _require_none_lost(out: Path, scored: Sequence[Score], items: Sequence[AnswerItem]) -> None:
    wanted = Counter(item.content for item in items if item.fault is None)
    there = Counter(row.content for row in scored)
    left = Counter(wanted)
    lost = []
    for row in scored:
        if left[row.content]:
            left[row.content] -= 1
        else:
            lost.append(row)
    if not lost:
        return
    if not wanted - there:
        raise PerplexityError(
            f"{out}: holds {len(scored)} answers, of which only {len(scored) - len(lost)} are asked now and "
            "would replace them (remedy: leave --limit out, or choose another --out)"
        )
    first = lost[0]
    item = next((item for item in items if item.id == first.id), None)
    what = "which is missing"
    if item is not None:
        what = "which has another image" if first.image != item.digest else "which has other texts"
    raise PerplexityError(
        f"{out}: holds answers of other data: {len(lost)} of its {len(scored)} are not among the "
        f"{len(items)} asked now, e.g. id {first.id}, {what} "
        "(remedy: choose another --out, or remove that file)"
    )


def _taken_over(scored: Sequence[Score], items: Sequence[AnswerItem]) -> list[Score]:
    """The rows of answers that are asked again, under their ids of today."""
    held: dict[str, list[Score]] = {}
    for row in scored:
        held.setdefault(row.content, []).append(row)
    wanted = [item for item in items if item.fault is None and item.content in held]
    return [replace(rows.pop(0), id=item.id) for item in wanted if (rows := held[item.content])]
