"""The family as dependent jobs: eight shared training runs, then scores, then the comparison."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ndino.evaluation.lmms_eval_adapter.models import OUR_WRAPPER
from ndino.formats.family import Family, run_name
from ndino.formats.recipes import load_recipe
from ndino.train.manifest import identity
from ndino.train.resuming.run_folder import belongs_to
from ndino.train.stage import StageError

JOBS, DONE = "jobs.tsv", ".done"
REPORT = "report"


@dataclass(frozen=True)
class SlurmJob:
    """One SLURM job: runs ``script`` with ``arguments`` once all ``parents`` have succeeded.

    ``environment`` is added to the submitting shell's. ``done``: it has finished and is still up to date.
    """

    name: str
    parents: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    done: bool = False

    @property
    def trains(self) -> bool:
        """Whether this is a training run, whose only argument is the recipe's name."""
        return self.script.startswith("launch/train_")


@dataclass(frozen=True)
class FamilyPaths:
    """Where recipes, runs and starting points are; ``models`` is the folder that `staging` downloads to.

    ``asked`` says what models are scored on, by the kind of job (``tasks``, ``perplexity``): scores on other
    things do not count as done. A kind that it lacks is not compared.
    """

    recipes: Path
    runs: Path
    engine: str
    language_model: Path
    vision_tower: Path
    models: Path
    overrides: Path | None = None
    asked: Mapping[str, Sequence[str]] = field(default_factory=dict)


def plan(family: Family, paths: FamilyPaths) -> list[SlurmJob]:
    """Every job of the family, parents before children.

    Raises:
        RecipeError: a recipe cannot be used.
        StageError: a run's folder holds another run.
    """
    jobs: dict[str, SlurmJob] = {}
    for chain in family.stages():
        parent = jobs.get(run_name(chain[:-1]))
        jobs[run_name(chain)] = _training(chain, parent, paths)
    for name, chain in family.models.items():
        run = jobs[run_name(chain)]
        model = f"{name}={paths.runs / run.name / 'model'}"
        jobs |= {
            job.name: job
            for job in (
                _scoring("tasks", name, (model,), run, paths),
                _scoring("perplexity", name, (model,), run, paths),
            )
        }
    for name, baseline in family.baselines.items():
        staged = baseline.staged(paths.models)
        # As backend hf its folders are checked, also before submission.
        backend = "hf" if baseline.lmms == OUR_WRAPPER else f"lmms:{baseline.lmms}"
        arguments = (f"{name}={staged if staged.is_dir() else baseline.model}", "--backend", backend)
        job = _scoring("tasks", name, arguments, None, paths)
        jobs[job.name] = job
    scores = tuple(job.name for job in jobs.values() if job.script == "launch/evaluate.sh")
    finished = _stamp(paths, REPORT).exists() and all(jobs[name].done for name in scores)
    jobs[REPORT] = SlurmJob(REPORT, scores, "launch/evaluate.sh", (REPORT,), done=finished)
    return list(jobs.values())


def _training(chain: tuple[str, ...], parent: SlurmJob | None, paths: FamilyPaths) -> SlurmJob:
    recipe, out = chain[-1], paths.runs / run_name(chain)
    script = "launch/train_from_llm.sh" if len(chain) <= 2 else "launch/train_from_lmm.sh"
    environment = {"OUT": str(out)}
    if parent is not None:
        environment["FROM"] = str(paths.runs / parent.name)
    done = (parent is None or parent.done) and _is_trained(chain, parent, paths, out)
    return SlurmJob(run_name(chain), (parent.name,) if parent else (), script, (recipe,), environment, done)


def _is_trained(chain: tuple[str, ...], parent: SlurmJob | None, paths: FamilyPaths, out: Path) -> bool:
    if not (out / "manifest.json").exists() or not (out / "model").is_dir():
        return False
    recipe = load_recipe(paths.recipes / f"{chain[-1]}.yaml", paths.overrides)
    data = Path(recipe.data)
    if not data.is_file():
        raise StageError(
            f"{data}: no such data, so it is unknown whether {out} is finished (remedy: data in the recipe)"
        )
    # The upstream engine records more, such as its commit: it compares that itself.
    return belongs_to(out, {**identity(recipe, data, start_of(parent, paths)), "engine": paths.engine})


def start_of(parent: SlurmJob | None, paths: FamilyPaths) -> dict[str, Path]:
    """The folders that a run starts from, by role: its parent's model, or the two backbones."""
    if parent is None:
        return {"language_model": paths.language_model, "vision_tower": paths.vision_tower}
    return {"model": paths.runs / parent.name / ("model" if paths.engine == "native" else "upstream")}


def _scoring(
    kind: str, name: str, arguments: tuple[str, ...], run: SlurmJob | None, paths: FamilyPaths
) -> SlurmJob:
    stamp = _stamp(paths, f"{kind}-{name}")
    made = paths.runs / run.name / "manifest.json" if run else None
    # A model that was retrained after its scores were made is scored again.
    done = (
        stamp.exists()
        and (kind not in paths.asked or _words(stamp) == [*paths.asked[kind]])
        and (run is None or run.done)
        and (made is None or made.stat().st_mtime <= stamp.stat().st_mtime)
    )
    parents = (run.name,) if run else ()
    return SlurmJob(f"{kind}-{name}", parents, "launch/evaluate.sh", (kind, *arguments), done=done)


def _words(stamp: Path) -> list[str]:
    """What launch/evaluate.sh has written that it scored: TASKS or PERPLEXITY_SETS."""
    return stamp.read_text(encoding="utf-8").replace(",", " ").split()


def _stamp(paths: FamilyPaths, name: str) -> Path:
    return folder_of(paths.runs) / f"{name}{DONE}"


def folder_of(runs: Path) -> Path:
    """Folder that records a family's jobs: their SLURM ids, and which have finished."""
    return runs / "family"


def submitted(runs: Path) -> dict[str, str]:
    """The SLURM id of the latest submission of each job, by the job's name."""
    path = folder_of(runs) / JOBS
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if line.count("\t") == 1)


def to_submit(
    jobs: list[SlurmJob], numbers: Mapping[str, str], queued: set[str]
) -> Iterator[tuple[SlurmJob, list[str]]]:
    """The jobs that are neither done nor in the queue, each with the parents it must wait for.

    Parents in the queue are given by SLURM id, parents that are about to be submitted by name; finished
    parents are left out.
    """
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        if job.done or numbers.get(job.name) in queued:
            continue
        waits = [name for name in job.parents if not by_name[name].done]
        yield job, [numbers[name] if numbers.get(name) in queued else name for name in waits]


def as_words(job: SlurmJob, waits: list[str]) -> str:
    """A job as shell words: name, comma-separated parents, script, argument count, arguments, NAME=VALUE…"""
    assignments = [f"{key}={value}" for key, value in job.environment.items()]
    words = [job.name, ",".join(waits), job.script, str(len(job.arguments)), *job.arguments, *assignments]
    return shlex.join(words)


def graph(jobs: list[SlurmJob], queued: Mapping[str, str]) -> list[str]:
    """The plan as text: each job, its state, and the jobs it runs after."""
    wide = max(len(job.name) for job in jobs)
    lines = []
    for job in jobs:
        state = "done" if job.done else f"queued {queued[job.name]}" if job.name in queued else "to run"
        after = f"after {', '.join(job.parents)}" if job.parents else "at once"
        lines.append(f"{job.name:<{wide}}  {state:<12}  {after}")
    return lines
