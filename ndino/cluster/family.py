"""The family as jobs that need one another: eight shared training runs, then scores, then the comparison."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ndino.formats.recipes import Family, load_recipe, run_name
from ndino.train.manifest import identity
from ndino.train.stage import StageError, belongs_to

# Baselines by the name that family.yaml gives them: where they come from and what evaluates them.
BASELINES = {"mblip": ("Gregor/mblip-mt0-xl", "lmms:mblip")}
JOBS, DONE = "jobs.tsv", ".done"
REPORT = "report"


@dataclass(frozen=True)
class Job:
    """One SLURM job: ``script`` and ``arguments`` are run when all ``parents`` have succeeded.

    ``environment`` is added to the submitter's. ``done`` tells that it need not run again.
    """

    name: str
    parents: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    done: bool = False

    @property
    def trains(self) -> bool:
        """Whether this is a training run; its only argument is then the recipe's name."""
        return self.script.startswith("launch/train_")


@dataclass(frozen=True)
class Site:
    """Where recipes, runs and starting points are; ``models`` is what `ndino.cluster.staging` fetched."""

    recipes: Path
    runs: Path
    engine: str
    language_model: Path
    vision_tower: Path
    models: Path
    overrides: Path | None = None


def plan(family: Family, site: Site) -> list[Job]:
    """Every job of the family, parents before children.

    Raises:
        RecipeError: a recipe cannot be used.
        StageError: a run's folder holds another run.
    """
    jobs: dict[str, Job] = {}
    for chain in family.stages():
        parent = jobs.get(run_name(chain[:-1]))
        jobs[run_name(chain)] = _training(chain, parent, site)
    for name, chain in family.models.items():
        run = jobs[run_name(chain)]
        model = f"{name}={site.runs / run.name / 'model'}"
        jobs |= {
            job.name: job
            for job in (
                _scoring("tasks", name, (model,), run, site),
                _scoring("perplexity", name, (model,), run, site),
            )
        }
    for name in family.baselines:
        source, backend = BASELINES[name]
        staged = site.models / source.split("/")[1]
        arguments = (f"{name}={staged if staged.is_dir() else source}", "--backend", backend)
        job = _scoring("tasks", name, arguments, None, site)
        jobs[job.name] = job
    scores = tuple(job.name for job in jobs.values() if job.script == "launch/evaluate.sh")
    finished = _stamp(site, REPORT).exists() and all(jobs[name].done for name in scores)
    jobs[REPORT] = Job(REPORT, scores, "launch/evaluate.sh", (REPORT,), done=finished)
    return list(jobs.values())


def _training(chain: tuple[str, ...], parent: Job | None, site: Site) -> Job:
    recipe, out = chain[-1], site.runs / run_name(chain)
    script = "launch/train_from_llm.sh" if len(chain) <= 2 else "launch/train_from_lmm.sh"
    environment = {"OUT": str(out)}
    if parent is not None:
        environment["FROM"] = str(site.runs / parent.name)
    done = (parent is None or parent.done) and _is_trained(chain, parent, site, out)
    return Job(run_name(chain), (parent.name,) if parent else (), script, (recipe,), environment, done)


def _is_trained(chain: tuple[str, ...], parent: Job | None, site: Site, out: Path) -> bool:
    if not (out / "manifest.json").exists() or not (out / "model").is_dir():
        return False
    recipe = load_recipe(site.recipes / f"{chain[-1]}.yaml", site.overrides)
    data = Path(recipe.data)
    if not data.is_file():
        raise StageError(
            f"{data}: no such data, so {out} cannot be known as finished (remedy: data in the recipe)"
        )
    wanted = identity(recipe, data, start_of(parent, site))
    held = json.loads((out / "run.json").read_text(encoding="utf-8"))
    # The upstream engine puts more on record than recipe, data and start.
    return belongs_to(out, held | wanted)


def start_of(parent: Job | None, site: Site) -> dict[str, Path]:
    """The folders that a run starts from by their role: its parent's model, or the two backbones."""
    if parent is None:
        return {"language_model": site.language_model, "vision_tower": site.vision_tower}
    return {"model": site.runs / parent.name / ("model" if site.engine == "native" else "upstream")}


def _scoring(kind: str, name: str, arguments: tuple[str, ...], run: Job | None, site: Site) -> Job:
    stamp = _stamp(site, f"{kind}-{name}")
    made = site.runs / run.name / "manifest.json" if run else None
    # A model that was trained again is scored again.
    done = (
        stamp.exists()
        and (run is None or run.done)
        and (made is None or made.stat().st_mtime <= stamp.stat().st_mtime)
    )
    parents = (run.name,) if run else ()
    return Job(f"{kind}-{name}", parents, "launch/evaluate.sh", (kind, *arguments), done=done)


def _stamp(site: Site, name: str) -> Path:
    return folder_of(site.runs) / f"{name}{DONE}"


def folder_of(runs: Path) -> Path:
    """Where a family's jobs are kept: numbers that SLURM gave them, and what they have finished."""
    return runs / "family"


def submitted(runs: Path) -> dict[str, str]:
    """The number of each job that was last submitted under its name."""
    path = folder_of(runs) / JOBS
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if line.count("\t") == 1)


def to_submit(
    jobs: list[Job], numbers: Mapping[str, str], queued: set[str]
) -> Iterator[tuple[Job, list[str]]]:
    """The jobs that are neither done nor in the queue, each with the parents it must wait for.

    A parent in the queue is named by its number, one that is about to be submitted by its name; one that is
    done needs no waiting for.
    """
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        if job.done or numbers.get(job.name) in queued:
            continue
        waits = [name for name in job.parents if not by_name[name].done]
        yield job, [numbers[name] if numbers.get(name) in queued else name for name in waits]


def as_words(job: Job, waits: list[str]) -> str:
    """A job as shell words: name, parents with commas, script, how many arguments, arguments, NAME=VALUE…"""
    assignments = [f"{key}={value}" for key, value in job.environment.items()]
    words = [job.name, ",".join(waits), job.script, str(len(job.arguments)), *job.arguments, *assignments]
    return shlex.join(words)


def graph(jobs: list[Job], queued: Mapping[str, str]) -> list[str]:
    """The plan as lines to read: what runs after what, and what is done or queued already."""
    wide = max(len(job.name) for job in jobs)
    lines = []
    for job in jobs:
        state = "done" if job.done else f"queued {queued[job.name]}" if job.name in queued else "to run"
        after = f"after {', '.join(job.parents)}" if job.parents else "at once"
        lines.append(f"{job.name:<{wide}}  {state:<12}  {after}")
    return lines
