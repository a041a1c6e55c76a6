"""Convert a MADLAD model; ``convert_madlad.py`` runs this script with a transformers that converts correctly.

    python conversion.py MODEL OUT QUANTIZATION

Writes OUT, and as its last line of output one JSON object: versions, whether the tokenizers agree, and how
far the scores of given translations are from the original's. Imports nothing of ndino, which its environment
lacks.
"""

from __future__ import annotations

import gc
import json
import sys

import ctranslate2
import sentencepiece
import torch
import transformers

# Any text will do: the probabilities under both models are compared, not the quality of the translations.
PAIRS = (
    ("<2it> How many dogs are in the picture?", "Quanti cani ci sono nella foto?"),
    ("<2it> The man on the left is wearing a red hat.", "L'uomo a sinistra indossa un cappello rosso."),
    ("<2es> Question: What is 3 + 4? Answer: 7", "Pregunta: ¿Cuánto es 3 + 4? Respuesta: 7"),
    (
        "<2de> A cat sleeps on the sofa while two children are playing in the garden behind the house.",
        "Eine Katze schläft auf dem Sofa, während zwei Kinder im Garten hinter dem Haus spielen.",
    ),
)
END = "</s>"


class Converter(ctranslate2.converters.TransformersConverter):
    """CTranslate2's converter, which also scores with the original model: 12 GB are loaded only once."""

    def __init__(self, folder: str, sources: list[list[int]], targets: list[list[int]]) -> None:
        super().__init__(folder, low_cpu_mem_usage=False)
        self._sources, self._targets = sources, targets
        self.scores: list[list[float]] = []

    def load_model(self, model_class, folder, **settings):
        model = super().load_model(model_class, folder, **settings).eval()
        self.scores = [scores(model, *pair) for pair in zip(self._sources, self._targets, strict=True)]
        return model

    def load_tokenizer(self, tokenizer_class, folder, **settings):
        # The slow tokenizer reads spiece.model; the fast one needs a file that not every copy has.
        return transformers.T5Tokenizer.from_pretrained(folder, legacy=True)


def scores(
    model: transformers.T5ForConditionalGeneration, source: list[int], target: list[int]
) -> list[float]:
    """The log-probability of each token of ``target``, given ``source``."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(target)[:, None])[:, 0].tolist()


def main() -> None:
    folder, out, quantization = sys.argv[1:]
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/spiece.model")
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder, legacy=True)
    tokens = [[[*pieces.encode(text, out_type=str), END] for text in pair] for pair in PAIRS]
    ids = [[[pieces.piece_to_id(piece) for piece in side] for side in pair] for pair in tokens]
    same = all(
        tokenizer(text).input_ids == found
        for pair, both in zip(PAIRS, ids, strict=True)
        for text, found in zip(pair, both, strict=True)
    )
    converter = Converter(folder, [source for source, _ in ids], [target for _, target in ids])
    converter.convert(out, quantization=quantization, force=True)
    gc.collect()
    translator = ctranslate2.Translator(out, device="cpu")
    given = [[side[:-1] if number else side for number, side in enumerate(pair)] for pair in tokens]
    found = translator.score_batch(*map(list, zip(*given, strict=True)), max_input_length=0)
    differences = [
        abs(here - there)
        for result, wanted in zip(found, converter.scores, strict=True)
        for here, there in zip(result.log_probs, wanted, strict=True)
    ]
    print(
        json.dumps(
            {
                "same_tokens": same,
                "tokens": len(differences),
                "largest_difference": max(differences),
                "mean_difference": sum(differences) / len(differences),
                "mean_log_probability": sum(map(sum, converter.scores)) / len(differences),
                "versions": {
                    module.__name__: module.__version__ for module in (ctranslate2, torch, transformers)
                },
            }
        )
    )


if __name__ == "__main__":
    main()
