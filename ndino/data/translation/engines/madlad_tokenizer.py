"""The tokenizer of a MADLAD model, for both of its translators."""

from __future__ import annotations

from pathlib import Path

from ndino.data.errors import DataError

MODEL = "spiece.model"
END = "</s>"
# Limit of the generated tokens, from the number of source tokens. The libraries' own default is about 20
# tokens, too few; a translation may be twice as long as its source, and a loop must end.
LIMIT_FACTOR, LIMIT_MARGIN = 3, 16


def limit_of(tokens: int) -> int:
    """The largest number of tokens in the translation of ``tokens`` tokens. Ours."""
    return LIMIT_FACTOR * tokens + LIMIT_MARGIN


class MadladTokenizer:
    """The SentencePiece model in ``folder``, with the tag of the language to translate to.

    Raises:
        DataError: the model does not exist or does not know the language.
    """

    def __init__(self, folder: Path, lang: str) -> None:
        import sentencepiece

        if not (folder / MODEL).is_file():
            raise DataError(
                f"{folder}: no {MODEL}, so not a MADLAD model "
                "(remedy: docs/data/translation.md says how to get one)"
            )
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL))
        self._tag = f"<2{lang}>"
        if self._pieces.piece_to_id(self._tag) == self._pieces.unk_id():
            raise DataError(
                f"{folder}: the model does not know the language {lang!r} (remedy: a --lang from its card)"
            )

    def encode(self, text: str) -> list[str]:
        """The tokens of a source: language tag, text, end."""
        return [*self._pieces.encode(f"{self._tag} {text}", out_type=str), END]

    def encode_ids(self, text: str) -> list[int]:
        """As ``encode``, but ids."""
        return [self._pieces.piece_to_id(piece) for piece in self.encode(text)]

    def decode(self, pieces: list[str]) -> str:
        """The text of a translation's tokens."""
        return self.decode_ids([self._pieces.piece_to_id(piece) for piece in pieces])

    def decode_ids(self, ids: list[int]) -> str:
        """The text of a translation's ids, without unknown and special ones.

        The embeddings of a model are padded, so it may generate ids above its vocabulary; they are left out.
        """
        known = range(self._pieces.vocab_size())
        left_out = self._pieces.is_control, self._pieces.is_unknown
        return self._pieces.decode([i for i in ids if i in known and not any(test(i) for test in left_out)])
