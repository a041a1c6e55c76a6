"""Train one stage, with the native engine or with the pinned upstream trainer.

    python -m ndino.train launch/recipes/mlp.yaml --out runs/italian/mlp \\
        --language-model models/llama-3-8b --vision-tower models/clip-vit-large-patch14-336
    python -m ndino.train launch/recipes/pt.yaml --out runs/italian/mlp-pt --model runs/italian/mlp/model
    python -m ndino.train launch/recipes/pt.yaml --engine llava-next \\
        --out runs/italian/mlp-pt --model runs/italian/mlp/upstream

OUT/model is the trained model in Hugging Face format, OUT/manifest.json says how it came about, and
OUT/rejects.txt lists the rows that could not be used. A second start goes on from the newest whole
checkpoint.
Exit status: 0 when the model is there, 2 when something is missing or wrong before training, 1 when training
failed, 130 when it was stopped. SIGUSR1 and SIGTERM let the native engine finish its step and save first.
"""

from __future__ import annotations

import argparse
import sys

from ndino.common.errors import reason_of, remedy_for
from ndino.common.startup import prepare_process
from ndino.formats.llava_json import ConversationError
from ndino.formats.recipes import RecipeError
from ndino.train.stage import StageError, StageStopped, add_stage_arguments, stage_of

STOPPED = 130


def parser() -> argparse.ArgumentParser:
    """The command line; making it imports nothing heavy."""
    made = argparse.ArgumentParser(
        prog="python -m ndino.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_stage_arguments(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)

    from ndino.train.build import ModelFolderError
    from ndino.train.callbacks import StopOnSignal
    from ndino.train.images import ImageError

    try:
        stage = stage_of(options)
        if options.engine == "llava-next":
            from ndino.llava_next.engine import run_stage

            model = run_stage(stage)
        else:
            from ndino.train.engine import run_stage

            stop = StopOnSignal()
            with stop.listening():
                model = run_stage(stage, stop=stop)
    except StageStopped as stopped:
        print(f"ndino.train: {stopped}; the same command goes on from there", file=sys.stderr)
        return STOPPED
    except (RecipeError, StageError, ModelFolderError, ConversationError, ImageError) as error:
        print(f"ndino.train: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        remedy = remedy_for(error, "rerun to resume from the newest whole checkpoint")
        print(f"ndino.train: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nndino.train: stopped; the same command goes on from the newest whole checkpoint",
            file=sys.stderr,
        )
        return STOPPED
    print(model)
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
