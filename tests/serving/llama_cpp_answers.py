"""What llama.cpp makes of two GGUF files: ids, logits, image features, answers.

Standard input is a JSON object of jobs by name, the first argument the folder of the GGUF files, the second
the file of the results (npz). The environment of llama-cpp-python runs it, which has nothing of this project.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp

THREADS = 1


class Model:
    """The language model of a folder, with a context for one sequence, and its ``mmproj``."""

    def __init__(self, folder: Path, positions: int) -> None:
        self._folder = folder
        path = next(folder.glob("language-model-*.gguf"))
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = positions
        settings.n_threads = settings.n_threads_batch = THREADS
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.tokens = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        self.width = llama_cpp.llama_model_n_embd(self.model)
        self._vision = None
        self._position = 0

    @property
    def vision(self) -> Any:
        if self._vision is None:
            settings = mtmd_cpp.mtmd_context_params_default()
            settings.n_threads, settings.warmup, settings.print_timings = THREADS, False, False
            path = str(self._folder / "mmproj-f16.gguf").encode()
            self._vision = mtmd_cpp.mtmd_init_from_file(path, self.model, settings)
        return self._vision

    def restart(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        self._position = 0

    def ids(self, text: str, begin: bool) -> list[int]:
        room = (llama_cpp.llama_token * (len(text.encode()) + 8))()
        count = llama_cpp.llama_tokenize(
            self.vocabulary, text.encode(), len(text.encode()), room, len(room), begin, True
        )
        return list(room[:count])

    def decode(self, ids: list[int] | None = None, features: np.ndarray | None = None) -> np.ndarray:
        """Continue the sequence with ``ids`` or image features; the logits at all of their positions."""
        count = len(ids) if features is None else len(features)
        batch = llama_cpp.llama_batch_init(count, 0 if features is None else self.width, 1)
        batch.n_tokens = count
        for i in range(count):
            if features is None:
                batch.token[i] = ids[i]
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = self._position + i, 1, 0, 1
        if features is not None:
            ctypes.memmove(
                batch.embd, np.ascontiguousarray(features, np.float32).ctypes.data, features.nbytes
            )
        code = llama_cpp.llama_decode(self.context, batch)
        if code:
            raise SystemExit(f"llama_decode: {code}")
        self._position += count
        found = llama_cpp.llama_get_logits(self.context)
        logits = np.ctypeslib.as_array(found, (count, self.tokens)).copy()
        llama_cpp.llama_batch_free(batch)
        return logits

    def pieces(self, text: str, image: np.ndarray) -> list[list[int] | np.ndarray]:
        """A prompt with llama.cpp's marker, as ids and, for each tile, features."""
        height, width, _ = image.shape
        pixels = (ctypes.c_uint8 * image.size).from_buffer_copy(np.ascontiguousarray(image).tobytes())
        bitmap = mtmd_cpp.mtmd_bitmap_init(width, height, pixels)
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        asked = mtmd_cpp.mtmd_input_text(text.encode(), len(text.encode()), True, True)
        bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
        if mtmd_cpp.mtmd_tokenize(self.vision, chunks, ctypes.byref(asked), bitmaps, 1):
            raise SystemExit("mtmd_tokenize failed")
        found: list[list[int] | np.ndarray] = []
        for i in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
            chunk = mtmd_cpp.mtmd_input_chunks_get(chunks, i)
            count = ctypes.c_size_t()
            if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_TEXT:
                tokens = mtmd_cpp.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                found.append(list(tokens[: count.value]))
            else:
                if mtmd_cpp.mtmd_encode_chunk(self.vision, chunk):
                    raise SystemExit("mtmd_encode_chunk failed")
                shape = (mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk), self.width)
                found.append(np.ctypeslib.as_array(mtmd_cpp.mtmd_get_output_embd(self.vision), shape).copy())
        mtmd_cpp.mtmd_input_chunks_free(chunks)
        mtmd_cpp.mtmd_bitmap_free(bitmap)
        return found

    def greedy(self, logits: np.ndarray, most: int) -> list[int]:
        """The answer behind a prompt whose last position has ``logits``, without the token that ends it."""
        answer: list[int] = []
        while len(answer) < most:
            token = int(logits.argmax())
            if llama_cpp.llama_vocab_is_eog(self.vocabulary, token):
                break
            answer.append(token)
            logits = self.decode([token])[-1]
        return answer


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    jobs = json.load(sys.stdin)
    model = Model(folder, positions=2048)
    results: dict[str, np.ndarray] = {}
    for name, job in jobs.items():
        model.restart()
        match job["do"]:
            case "ids":
                results[name] = np.array(model.ids(job["text"], job["begin"]))
            case "logits":  # of a sequence of ids and stored features
                parts = [np.load(part) if isinstance(part, str) else part for part in job["parts"]]
                found = [model.decode(*((None, p) if isinstance(p, np.ndarray) else (p,))) for p in parts]
                results[name] = np.concatenate(found)
                results[f"{name}.answer"] = np.array(model.greedy(found[-1][-1], job["most"]), dtype=int)
            case "image":  # llama.cpp's own way from pixels to an answer
                pieces = model.pieces(job["text"], np.load(job["image"]))
                features = [piece for piece in pieces if isinstance(piece, np.ndarray)]
                results[f"{name}.features"] = np.stack(features)
                results[f"{name}.ids"] = np.array([t for p in pieces if isinstance(p, list) for t in p])
                found = [model.decode(*((None, p) if isinstance(p, np.ndarray) else (p,))) for p in pieces]
                results[f"{name}.logits"] = found[-1]
                results[f"{name}.answer"] = np.array(model.greedy(found[-1][-1], job["most"]), dtype=int)
    np.savez(out, **results)


if __name__ == "__main__":
    main()
