"""How quickly does the chat answer, alone and with others, against a bare `generate`?  make chat

On the starter and on a model of 100 million parameters made from a configuration, each with two LoRA adapters: the
first token at turn 10 against turn 1, tokens a second of one and of eight conversations, what switching adapters takes,
eight conversations with two adapters mixed, and the same model through llama.cpp. Counted in processor seconds of one
thread, which hold also while others use the machine. Adds to RESULTS.md.
"""

import argparse
import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, make_model, ratio, record
from peft import LoraConfig, get_peft_model

from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.export.gguf_vocabulary import vocabulary_of
from qlora_app.export.gguf_words import with_words
from qlora_app.export.gguf_writer import write_gguf
from qlora_app.inference.engine import MOST_ROWS
from qlora_app.inference.llama_cpp import LlamaCpp
from qlora_app.inference.loaded import FIRST, LoadedBase
from qlora_app.inference.rows import Asked, Row, Token
from qlora_app.inference.session import ChatSession
from qlora_app.messages import Conversation
from qlora_app.tasks.chat import Chat

SECOND = "second"
TURNS, NEW, PROMPT = 10, 48, 64  # turns of a conversation; tokens of an answer, and of a prompt
SYSTEM = "You answer questions about Pennywick, briefly and kindly, and say so when you do not know."
NEW_STARTS = itertools.count(500)  # tokens
QUESTION = "Where does Mira live? Question {}."


def session_on(choice: ModelChoice) -> ChatSession:
    """A base with two adapters that change something."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(choice)
    config = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
    model = get_peft_model(load_model(choice), config)
    model.add_adapter(SECOND, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    Chat().prepare(tokenizer, model)
    model.generation_config.eos_token_id = model.config.eos_token_id = None  # all answers are equally long
    base = LoadedBase(model.requires_grad_(False))
    base.engine.active.mixable.update({FIRST, SECOND})
    return ChatSession(base, tokenizer, Chat(), FIRST)


def first_token(session: ChatSession, conversation: Conversation) -> tuple[float, str]:
    """(processor seconds until the first token, the whole answer)"""
    began = time.process_time()
    growing = iter(session.write(conversation, longest=NEW // 3))
    said = next(growing)
    took = time.process_time() - began
    for said in growing:  # noqa: B007  to its end, which the next turn goes on from
        pass
    return took, str(said) or "."


def says_one_word(session: ChatSession) -> Any:
    """From now on the model says a token that text is cut into again: what models that were trained say mostly is."""
    tokenizer, count = session.tokenizer, NEW // 3
    texts = {token: tokenizer.decode([token] * count) for token in range(len(tokenizer))}
    word = next(
        token for token, text in texts.items() if text.strip() == text and cut(tokenizer, text) == [token] * count
    )

    def prefer(_: Any, __: Any, logits: torch.Tensor) -> None:
        logits[..., word] += 1e4

    return session.model.get_output_embeddings().register_forward_hook(prefer)


def cut(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def turns(session: ChatSession) -> float:
    """First token of the last turns of a conversation against those of the first, a new one each time."""
    first, last = [], []
    hook = says_one_word(session)
    for number in range(4):
        session.base.engine.alone(session.base.engine.prefixes.forget)  # after what ended last was kept
        conversation: Conversation = [{"role": "system", "content": SYSTEM}]
        for turn in range(TURNS + 2):
            conversation.append({"role": "user", "content": QUESTION.format(100 * number + turn)})
            took, answer = first_token(session, conversation)
            conversation.append({"role": "assistant", "content": answer})
            if turn == 0:
                first.append(took)
            if turn >= TURNS - 2:
                last.append(took)
    hook.remove()
    return statistics.median(last) / statistics.median(first[1:])


def prompts() -> list[list[int]]:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(100, 400, (MOST_ROWS, PROMPT), generator=draw).tolist()  # type: ignore[no-any-return]


def seconds_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def generated(model: Any, ids: Sequence[list[int]]) -> list[list[int]]:
    """One after the other, as `generate` of transformers does it."""
    found = []
    for one in ids:
        asked = torch.tensor([one])
        how = {"max_new_tokens": NEW, "do_sample": False, "use_cache": True, "pad_token_id": 0}
        with torch.inference_mode():
            made = model.generate(input_ids=asked, attention_mask=torch.ones_like(asked), **how)
        found.append(made[0, len(one) :].tolist())
    return found


def answered(session: ChatSession, ids: Sequence[list[int]], adapters: Sequence[str] = (FIRST,)) -> list[list[int]]:
    """All at once, by the engine."""
    engine = session.base.engine
    engine.alone(engine.prefixes.forget)
    rows = [Row(Asked(one, NEW, adapters[place % len(adapters)])) for place, one in enumerate(ids)]
    for row in rows:
        engine.submit(row)
    return [[event.id for event in row if isinstance(event, Token)] for row in rows]


def on_llama_cpp(session: ChatSession, folder: Path) -> LlamaCpp:
    """The base with its first adapter as a GGUF in 16 bits, on one thread."""
    model = copy.deepcopy(session.model).merge_and_unload(adapter_names=[FIRST])
    known = vocabulary_of(session.tokenizer, model.config.vocab_size, [session.tokenizer.eos_token_id])
    vocabulary, _ = with_words(known, session.tokenizer, [SYSTEM, QUESTION])
    write_gguf(model, vocabulary, "chat", "F16", folder / "chat.gguf", lambda done, of: None)
    return LlamaCpp(folder / "chat.gguf", threads=1)


def tokens_a_second(engine: LlamaCpp, ids: Sequence[list[int]], at_once: bool) -> float:
    """Of llama.cpp, which ends some answers before the last token. Prompts are new, so that none is known already."""
    first = next(NEW_STARTS)
    ids = [[first, *one[1:]] for one in ids]
    began, tokens = time.process_time(), 0
    for group in [ids] if at_once else [[one] for one in ids]:
        rows = [engine.submit(Row(Asked(one, NEW))) for one in group]
        tokens += sum(isinstance(event, Token) for row in rows for event in row)
    return tokens / (time.process_time() - began)


def switching(session: ChatSession) -> float:
    """Milliseconds to switch from one adapter to the other and back, for one way."""
    engine = session.base.engine

    def once() -> float:
        engine.active.use([FIRST])
        return 1000 * seconds_of(lambda: (engine.active.use([SECOND]), engine.active.use([FIRST]))) / 2

    return statistics.median(engine.alone(once) for _ in range(20))


def measured(choice: ModelChoice, rounds: int) -> dict[str, str]:
    session = session_on(choice)
    ids = prompts()
    model = session.model
    session.alone(lambda: generated(model, ids[:1]))  # warm

    def one_alone() -> float:
        return seconds_of(lambda: [answered(session, [one]) for one in ids])

    def in_sequence() -> float:
        return session.alone(lambda: seconds_of(lambda: generated(model, ids)))

    def at_once() -> float:
        return seconds_of(lambda: answered(session, ids))

    def mixed() -> float:
        return seconds_of(lambda: answered(session, ids, (FIRST, SECOND)))

    with tempfile.TemporaryDirectory(prefix="gguf-") as folder:
        llama = on_llama_cpp(session, Path(folder))
    faster = statistics.median(tokens_a_second(llama, ids, at_once=False) for _ in range(rounds))
    faster_at_once = statistics.median(tokens_a_second(llama, ids, at_once=True) for _ in range(rounds))
    took = interleaved(rounds, bare=in_sequence, one=one_alone, eight=at_once, mixed=mixed)
    bare = len(ids) * NEW / statistics.median(took["bare"])
    same = answered(session, ids) == session.alone(lambda: generated(model, ids))
    return {
        "turn 10 / turn 1": f"{turns(session):.2f}",
        "tokens/s, bare": f"{bare:.0f}",
        "one / bare": f"{ratio(took['bare'], took['one']):.2f}",
        "eight / bare": f"{ratio(took['bare'], took['eight']):.1f}",
        "eight mixed / bare": f"{ratio(took['bare'], took['mixed']):.1f}",
        "llama.cpp / bare": f"{faster / bare:.1f}",
        "llama.cpp, eight / bare": f"{faster_at_once / bare:.1f}",
        "switch, ms": f"{switching(session):.1f}",
        "same answers": "all" if same else "no",
    }


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--only", choices=["starter", "100M"])
    asked = given.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="chat-") as folder:
        models = {"starter": ModelChoice(precision="fp32")}
        if asked.only != "starter":
            made = make_model(Path(folder) / "model", hidden=1024, layers=8)
            models["100M"] = ModelChoice(source="folder", id=str(made), precision="fp32")
        for name, choice in models.items():
            if asked.only in (None, name):
                figures = {"model": name} | measured(choice, asked.rounds)
                print(figures, flush=True)
                record("chat", figures, 0.0, keep=asked.rounds >= 3)


if __name__ == "__main__":
    main()
