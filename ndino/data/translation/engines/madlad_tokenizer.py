"""Text to the tokens of a MADLAD model and back, for both of its translators."""

from __future__ import annotations

from pathlib import Path

from ndino.data.errors import DataError

MODEL = "spiece.model"
END = "</s>"
# Generated tokens at most, for a source of so many. Both libraries stop after 20 tokens or few more by
# themselves; a translation may well be twice as long as its source, and a loop must end some time.
LIMIT_FACTOR, LIMIT_MARGIN = 3, 16


def limit_of(tokens: int) -> int:
    """How many tokens the translation of ``tokens`` tokens may have. Ours."""
    return LIMIT_FACTOR * tokens + LIMIT_MARGIN


class MadladTokenizer:
    """The sentencepiece model in ``folder``, with the tag of the language to translate to.

    Raises DataError where there is none, or it does not know the language.
    """

    def __init__(self, folder: Path, lang: str) -> None:
        import sentencepiece

        if not (folder / MODEL).is_file():
            raise DataError(
                f"{folder}: no {MODEL}, so no MADLAD model "
                "(remedy: docs/data/translation.md says how to get one)"
            )
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL))
        self._tag = f"<2{lang}>"
        if self._pieces.piece_to_id(self._tag) == self._pieces.unk_id():
            raise DataError(
                f"{folder}: the model knows no language {lang!r} (remedy: --lang with a code of its card)"
            )

    def encode(self, text: str) -> list[str]:
        """The source as tokens: the tag, the text, the end."""
        return [*self._pieces.encode(f"{self._tag} {text}", out_type=str), END]

    def encode_ids(self, text: str) -> list[int]:
        """As ``encode``, as ids."""
        return [self._pieces.piece_to_id(piece) for piece in self.encode(text)]

    def decode(self, pieces: list[str]) -> str:
        """Tokens of a translation as text; those above the vocabulary are left out."""
        return self.decode_ids([self._pieces.piece_to_id(piece) for piece in pieces])

    def decode_ids(self, ids: list[int]) -> str:
        """Ids of a translation as text; unknown and special ones are left out.

        A model's embeddings are padded, so it can say ids above its vocabulary.
        """
        known = range(self._pieces.vocab_size())
        left_out = self._pieces.is_control, self._pieces.is_unknown
        return self._pieces.decode([i for i in ids if i in known and not any(test(i) for test in left_out)])
