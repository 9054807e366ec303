# ruff: noqa: RUF001  the bars in DeepSeek's tokens are wide ones
"""Chat templates of the families that people bring, each with a small tokenizer and model of its kind.

The templates in tests/templates/ are our own, written from the structure of the published ones: where the system text,
tools, reasoning and the date go, what begins and ends a turn, what is refused. The fixed sentences between are ours.
Nothing is downloaded.

    tokenizer = tokenizer_for("qwen3")           # with `chat_template`, and each added token as its family calls it,
    special or not folder = tiny_model_for("gemma2", tmp_path)  # config.json, safetensors, tokenizer,
    generation_config.json with the family's ends
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.tiny_models import CORPUS, DECODER

TEMPLATES = Path(__file__).parent / "templates"
IM = ("<|im_start|>", "<|im_end|>")
TOOL_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
THINK_MARKS = ("<think>", "</think>")
LLAMA3 = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
)
MISTRAL = (
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
)
DEEPSEEK = (
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
)
GEMMA_MARKS = (
    "\n\n",
    "\n\n\n",
    "\n\n\n\n",
    "▁▁",
    "▁▁▁",
    "▁▁▁▁",
    "<table>",
    "</table>",
    "<h1>",
    "</h1>",
    "<b>",
    "</b>",
    "<blockquote>",
)
COHERE = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
GRANITE = ("<|start_of_role|>", "<|end_of_role|>")
HARMONY = (
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "<|call|>",
    "<|constrain|>",
    "<|endoftext|>",
)


@dataclass(frozen=True)
class Kind:
    """What a template and its tokenizer do.

    end: all that the template writes for the end of an assistant's turn, line breaks behind it left out; "" where
    nothing ends it.
    last_ends: the same for the last turn, where it differs: every reading that holds.
    pieces: the kind of tokenizer: "bytes" (GPT-2), "tiktoken" (Llama 3, Qwen), "sentencepiece" (Llama 2 as it is
    converted now), "legacy" (Llama 2 as it was: a blank before every piece of text between control tokens) or "gemma".
    special, marks: added tokens that the tokenizer calls special, and those that it does not.
    swallows: control tokens take the white space behind them.
    system: is a system turn accepted and written? alternates: is it refused when user and assistant do not take turns?
    thinking: the template's argument that switches it, or "" where there is none.
    reasoning: the last turn's reasoning is written as `reasoning_content` or `thinking`, or "" where it is not written.
    loses: are answers rewritten once another turn follows, or whatever stands before </think> dropped?
    stops: what generation_config.json says beside the tokenizer's end token.
    """

    end: str
    pieces: str = "tiktoken"
    special: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    bos: str | None = None
    eos: str = "</s>"
    pad: str | None = None
    last_ends: tuple[str, ...] = ()
    swallows: bool = False
    system: bool = True
    alternates: bool = False
    tools: bool = False
    thinking: str = ""
    reasoning: str = ""
    loses: bool = False
    stops: tuple[str, ...] = ()
    model: str = "Llama"

    def ends(self, is_last: bool) -> tuple[str, ...]:
        return self.last_ends if is_last and self.last_ends else (self.end,)


def _kind(base: dict[str, Any], **more: Any) -> Kind:
    return Kind(**(base | more))


_QWEN = {
    "end": "<|im_end|>",
    "special": ("<|endoftext|>", *IM),
    "eos": "<|im_end|>",
    "pad": "<|endoftext|>",
    "stops": ("<|endoftext|>",),
    "model": "Qwen3",
    "tools": True,
}
_LLAMA3 = {
    "end": "<|eot_id|>",
    "special": LLAMA3,
    "bos": "<|begin_of_text|>",
    "eos": "<|eot_id|>",
    "pad": "<|end_of_text|>",
    "stops": ("<|end_of_text|>", "<|eom_id|>"),
}
_CHATML = {
    "end": "<|im_end|>",
    "special": ("<|endoftext|>", *IM),
    "eos": "<|im_end|>",
    "pad": "<|endoftext|>",
    "pieces": "bytes",
}
_PIECES = {"end": "</s>", "pieces": "sentencepiece", "special": ("<unk>", "<s>", "</s>"), "bos": "<s>", "eos": "</s>"}
_MISTRAL = _PIECES | {"model": "Mistral", "alternates": True}
_GEMMA = {
    "end": "<end_of_turn>",
    "pieces": "gemma",
    "special": ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    "marks": GEMMA_MARKS,
    "bos": "<bos>",
    "eos": "<eos>",
    "pad": "<pad>",
    "stops": ("<end_of_turn>",),
    "alternates": True,
    "model": "Gemma2",
}
_PHI3 = {
    "end": "<|end|>",
    "pieces": "sentencepiece",
    "bos": "<s>",
    "eos": "<|endoftext|>",
    "pad": "<|endoftext|>",
    "swallows": True,
    "special": ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "last_ends": ("<|end|>", "<|end|>\n<|endoftext|>"),
    "stops": ("<|end|>", "<|assistant|>"),
    "model": "Phi3",
}
_DEEPSEEK = {
    "end": "<｜end▁of▁sentence｜>",
    "special": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),
    "marks": (*DEEPSEEK, *THINK_MARKS),
    "bos": "<｜begin▁of▁sentence｜>",
    "eos": "<｜end▁of▁sentence｜>",
    "pad": "<｜▁pad▁｜>",
    "loses": True,
}
_GLM = {
    "end": "",
    "special": ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    "eos": "<|endoftext|>",
    "pad": "<|endoftext|>",
    "stops": ("<|user|>", "<|observation|>"),
    "tools": True,
}
_COHERE = {
    "end": "<|END_OF_TURN_TOKEN|>",
    "pieces": "bytes",
    "special": ("<PAD>", "<BOS_TOKEN>", *COHERE),
    "bos": "<BOS_TOKEN>",
    "eos": "<|END_OF_TURN_TOKEN|>",
    "pad": "<PAD>",
}
_COHERE7 = _COHERE | {
    "end": "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "special": (*_COHERE["special"], "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
}
_GRANITE = {
    "end": "<|end_of_text|>",
    "pieces": "bytes",
    "special": ("<|end_of_text|>", *GRANITE),
    "bos": "<|end_of_text|>",
    "eos": "<|end_of_text|>",
    "pad": "<|end_of_text|>",
    "tools": True,
}
_WORDS = {"pieces": "bytes", "special": ("<|endoftext|>", "<|pad|>"), "eos": "<|endoftext|>", "pad": "<|pad|>"}

KINDS: dict[str, Kind] = {
    "llama2": _kind(_PIECES, end=" </s>", pieces="legacy", alternates=True),
    "llama3": _kind(_LLAMA3),
    "llama31": _kind(_LLAMA3, tools=True),
    "llama32": _kind(_LLAMA3),
    "nemotron": _kind(_LLAMA3, loses=True),
    "nemotron_opened": Kind(
        "\n<SPECIAL_12>",
        special=("<s>", "</s>", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"),
        marks=THINK_MARKS,
        bos="<s>",
        eos="<SPECIAL_12>",
        loses=True,
        thinking="enable_thinking",
    ),
    "chatml": _kind(_CHATML),
    "chatml_default_system": _kind(_QWEN, marks=TOOL_MARKS),
    "qwen3": _kind(
        _QWEN, marks=(*TOOL_MARKS, *THINK_MARKS), thinking="enable_thinking", reasoning="reasoning_content", loses=True
    ),
    "qwen3_later": _kind(_QWEN, marks=(*TOOL_MARKS, *THINK_MARKS), reasoning="reasoning_content", loses=True),
    "qwen3_opened": _kind(
        _QWEN, marks=(*TOOL_MARKS, *THINK_MARKS), thinking="enable_thinking", reasoning="reasoning_content", loses=True
    ),
    "qwen3_instruct": _kind(_QWEN, marks=TOOL_MARKS),
    "mistral_v01": _kind(_MISTRAL, pieces="legacy", system=False),
    "mistral_v02": _kind(_MISTRAL),
    "mistral_v03": _kind(_MISTRAL, special=("<unk>", "<s>", "</s>", *MISTRAL), tools=True),
    "mistral_tekken": _kind(
        _MISTRAL, pieces="tiktoken", special=("<unk>", "<s>", "</s>", "<pad>", *MISTRAL), pad="<pad>", tools=True
    ),
    "mistral_v7": _kind(
        _MISTRAL,
        pieces="tiktoken",
        pad="<pad>",
        alternates=False,
        special=("<unk>", "<s>", "</s>", "<pad>", *MISTRAL, "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    ),
    "gemma2": _kind(_GEMMA, system=False),
    "gemma3": _kind(_GEMMA),
    "phi3": _kind(_PHI3),
    "phi3_first": _kind(_PHI3, system=False, last_ends=()),
    "phi35": _kind(_PHI3),
    "phi4": Kind(
        "<|im_end|>",
        special=("<|endoftext|>", "<|im_sep|>", *IM),
        bos="<|endoftext|>",
        eos="<|im_end|>",
        pad="<|endoftext|>",
        model="Phi3",
    ),
    "phi4_mini": Kind(
        "<|end|>",
        special=("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>", "<|/tool|>"),
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        last_ends=("<|end|>", "<|end|><|endoftext|>"),
        stops=("<|end|>",),
        model="Phi3",
    ),
    "deepseek_r1": _kind(_DEEPSEEK, tools=True),
    "r1_distill_qwen": _kind(_DEEPSEEK),
    "deepseek_v31": _kind(_DEEPSEEK, thinking="thinking"),
    "glm4": _kind(_GLM),
    "glm45": _kind(
        _GLM,
        marks=(*THINK_MARKS, *TOOL_MARKS, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "/nothink"),
        thinking="enable_thinking",
        reasoning="reasoning_content",
        loses=True,
    ),
    "gpt_oss": Kind(
        "<|end|>",
        special=HARMONY,
        eos="<|return|>",
        pad="<|endoftext|>",
        last_ends=("<|return|>",),
        reasoning="thinking",
        loses=True,
        stops=("<|endoftext|>", "<|call|>"),
        tools=True,
        model="GptOss",
    ),
    "granite3": _kind(_GRANITE, thinking="thinking"),
    "granite4": _kind(_GRANITE, marks=TOOL_MARKS),
    "smollm2": _kind(_CHATML, bos="<|im_start|>"),
    "smollm3": _kind(_CHATML, marks=(*THINK_MARKS, *TOOL_MARKS), thinking="enable_thinking"),
    "zephyr": _kind(_PIECES, model="Mistral"),
    "vicuna": _kind(_PIECES, pieces="legacy", alternates=True),
    "alpaca": _kind(_PIECES),
    "alpaca_endless": _kind(_PIECES, end="", last_ends=("</s>",)),
    "guanaco": _kind(_PIECES, end="", last_ends=("</s>",)),
    "solar": _kind(_PIECES),
    "command_r": _kind(_COHERE),
    "command_r7b": _kind(_COHERE7),
    "command_r7b_opened": _kind(_COHERE7),
    "olmo2": _kind(_WORDS, end="<|endoftext|>", bos="<|endoftext|>"),
    "falcon3": _kind(_WORDS, end="<|endoftext|>"),
    "internlm2": _kind(_PIECES, special=("<unk>", "<s>", "</s>", *IM), end="<|im_end|>", stops=("<|im_end|>",)),
    "yi": _kind(_PIECES, special=("<unk>", "<s>", "</s>", "<|endoftext|>", *IM), end="<|im_end|>", eos="<|im_end|>"),
    "exaone": Kind(
        "[|endofturn|]",
        pieces="bytes",
        special=("[BOS]", "[PAD]", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"),
        bos="[BOS]",
        eos="[|endofturn|]",
        pad="[PAD]",
    ),
    "hermes": _kind(_LLAMA3, special=(*LLAMA3, *IM), marks=TOOL_MARKS, end="<|im_end|>", eos="<|im_end|>", tools=True),
    "marks_without_end": _kind(_CHATML),
    "marks_with_end": _kind(_CHATML),
    "marks_with_all": _kind(_CHATML),
    "marks_endless": _kind(_WORDS, end="", last_ends=("<|endoftext|>",)),
    "pipe_end": _kind(_WORDS, end=" [over]<|endoftext|>"),
}


def template_of(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def tokenizer_for(name: str) -> transformers.PreTrainedTokenizerFast:
    """A new tokenizer each time: tests change what it holds."""
    kind = KINDS[name]
    tokenizer = _pieces(kind.pieces, "<unk>" in kind.special)
    behind = {"rstrip": True} if kind.swallows else {}
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True, **(behind if token.startswith("<|") else {}))
            for token in kind.special
        ]
    )
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in kind.marks])
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=kind.eos,
        pad_token=kind.pad or kind.eos,
        clean_up_tokenization_spaces=False,
        **({"bos_token": kind.bos} if kind.bos else {}),
        **({"unk_token": "<unk>"} if "<unk>" in kind.special else {}),
    )
    made.chat_template = template_of(name)
    return made


def tiny_model_for(name: str, folder: Path, **settings: Any) -> Path:
    """A model of the template's family in `folder`/NAME with its tokenizer; returns that folder. Weights are the same
    every time.
    """
    import torch

    kind = KINDS[name]
    tokenizer = tokenizer_for(name)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    sizes = DECODER | _OWN_SIZES.get(kind.model, {}) | {"max_position_embeddings": 512} | settings
    config = getattr(transformers, f"{kind.model}Config")(vocab_size=len(tokenizer), **ids, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind.model}ForCausalLM")(config)
    stops = [tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(token) for token in kind.stops)]
    model.generation_config = transformers.GenerationConfig(**{**ids, "eos_token_id": stops})
    target = Path(folder) / name
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


_OWN_SIZES: dict[str, dict[str, Any]] = {
    "Qwen3": {"head_dim": 16},
    "Gemma2": {"head_dim": 16, "sliding_window": 256, "query_pre_attn_scalar": 16},
    "Mistral": {"sliding_window": None},
    "GptOss": {
        "head_dim": 16,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "sliding_window": 128,
        "rope_scaling": None,
    },
}

# How the families cut a text before bytes are merged: words with a blank before, digits by three, white space up to a
# line break.
_LLAMA_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BREAKS = [
    "First line.\nSecond line.\n\nA paragraph.\n\n\nThe end.\n",
    "  indented\n    more\n\tand a tab",
    "user\nassistant\nsystem\nmodel\n",
]


@cache
def _trained(words: bool) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of bytes (`words` false: cut as GPT-2 and Llama do) or of SentencePiece's pieces."""
    tokenizer = Tokenizer(models.BPE())
    if words:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Metaspace()]
        )
        letters = sorted(set("".join([*CORPUS, *_BREAKS])))
    else:
        tokenizer.pre_tokenizer = _tiktoken_cut()
        letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS + _BREAKS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=letters, show_progress=False)
    )
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _tiktoken_cut() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _pieces(kind: str, unknown: bool) -> Tokenizer:
    if kind in ("bytes", "tiktoken"):
        vocabulary, merges = _trained(words=False)
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = (
            _tiktoken_cut() if kind == "tiktoken" else pre_tokenizers.ByteLevel(add_prefix_space=False)
        )
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer
    vocabulary, merges = _trained(words=True)
    tokens = [
        *(["<unk>"] if unknown else []),
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *sorted(vocabulary, key=vocabulary.get),
    ]
    places = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=places, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>" if unknown else None
        )
    )
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if kind == "gemma":
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.decoder = decoders.Sequence(back)
    elif kind == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(content=" ", left=1, right=0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(content=" ", left=1, right=0)])
    return tokenizer
