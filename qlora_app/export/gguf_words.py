"""How llama.cpp is to cut a text into words before it merges them: one of the ways it knows by name, found by trying.

A GGUF file cannot say how, only name a way. A name that is nearly right gives other tokens here and there, and answers
that are worse for no reason that anybody sees; so each is tried on the run's own texts, and where none gives the same
tokens the export is refused.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..inference.llama_cpp import LlamaCpp, is_installed
from .gguf_vocabulary import Vocabulary, tokenizer_problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Ways that differ, the most usual first; models of the same way have many names more.
WAYS = (
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "smollm",
    "tekken",
    "gpt-4o",
    "deepseek-llm",
    "deepseek-coder",
    "deepseek-v3",
    "falcon",
    "starcoder",
    "command-r",
    "bloom",
)
# Where ways differ: figures, blanks, line ends, capitals, signs, scripts, what is said in short.
PROBES = (
    "It is 3, 33, 333 or 33333; 3.14 of  44  and\t5.",
    "We'll say I'm, you'Ve, IT'S and don't.",
    "One\n\ntwo\n\n\nthree \n four\r\nfive   six    \n\n",
    "helloWorld FooBar snake_case kebab-case HTTPServer2",
    "a+b=c; x != y && (z || w) // ... ---- ###",
    "Grüße aus Köln, déjà vu, İstanbul, naïve.",
    "Привет мир, 你好世界, こんにちは, नमस्ते, สวัสดี",
    "😀 👩‍👩‍👧 🇩🇪 ½ ² ٣",
)


def with_words(
    vocabulary: Vocabulary, tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]
) -> tuple[Vocabulary, list[str]]:
    """(the vocabulary with the way that cuts all of `texts` as the tokenizer does, and most of what it may be asked
    besides; those of the probes that it cuts otherwise).

    Raises UserError where there is none, or llama.cpp is not installed.
    """
    if not is_installed():
        raise UserError(
            "export.no_llama_cpp",
            "Whether llama.cpp reads texts as this model does has to be tried, and it is not installed. Install it "
            "with `pip install xllamacpp`, then export again.",
        )
    ways = WAYS if vocabulary.model == "gpt2" else ("default",)
    expected = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in [*texts, *PROBES]}
    best: tuple[int, str, list[str]] | None = None
    example = ""
    for way in ways:
        wrong = _cut_otherwise(vocabulary.cut_by(way), expected)
        in_data = [text for text in texts if text in wrong]
        if in_data:
            example = in_data[0]
            continue
        if best is None or len(wrong) < best[0]:
            best = (len(wrong), way, wrong)
        if not wrong:
            break
    if best is None:
        raise tokenizer_problem(f"no way that it knows cuts {example[:60]!r} as this one does")
    return vocabulary.cut_by(best[1]), best[2]


def _cut_otherwise(vocabulary: Vocabulary, expected: dict[str, list[int]]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="guanaco-words-") as folder:
        file = Path(folder) / "words.gguf"
        _write_words(vocabulary, file)
        try:
            reader = LlamaCpp(file, tokens=64, most_rows=1)
        except UserError:  # it does not know this way
            return list(expected)
        return [text for text, ids in expected.items() if reader.encode(text) != ids]


def _write_words(vocabulary: Vocabulary, file: Path) -> None:
    """The smallest model of this vocabulary that llama.cpp opens: it is only asked for tokens."""
    import numpy as np
    from gguf import GGUFWriter

    size = 32
    writer = GGUFWriter(str(file), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(size)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary.tokens))
    vocabulary.write(writer)
    square: np.ndarray[Any, Any] = np.zeros((size, size), np.float16)
    ones: np.ndarray[Any, Any] = np.ones(size, np.float32)
    writer.add_tensor("token_embd.weight", np.zeros((len(vocabulary.tokens), size), np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", ones)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", square)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
