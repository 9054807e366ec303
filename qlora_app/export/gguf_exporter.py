"""GGUF: one file for llama.cpp, Ollama, LM Studio and all that read what llama.cpp reads."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.config import read_config
from ..base_models.loading import folder_of
from ..choices import setting
from ..errors import Problem, UserError
from ..inference.llama_cpp import LlamaCpp
from ..inference.loaded import give_memory_back
from ..inference.session import ChatSession
from ..jobs import JobWriter
from ..methods import MethodChoices
from ..runs import Run
from ..runs.exports import Export, Fidelity
from ..settings import Settings
from ..tasks.asked import Asked
from ..tasks.generate import how_it_ends
from .exporter import Exporter, telling
from .fidelity import Reference, of_gguf, questions_for, reference
from .gguf_families import family_problem
from .gguf_types import BLOCK
from .gguf_vocabulary import Vocabulary, vocabulary_of
from .gguf_words import with_words
from .gguf_writer import write_gguf
from .merging import fits_fp16, merge_problem, merged_model, too_large_for_fp16
from .public_names import public_title

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OTHERWISE = (
    "llama.cpp writes a conversation otherwise than the chat template did in the training: programs that ask its chat "
    "get other answers than these."
)
TEXTS = 500  # of the run's data, on which llama.cpp's tokens are compared


class GgufExporter(Exporter):
    """Base and adapter merged, in one file, read back by llama.cpp."""

    title: ClassVar[str] = "One file (GGUF)"
    about: ClassVar[str] = (
        "Base and adapter merged, for llama.cpp, Ollama and LM Studio. llama.cpp reads it back and is asked what the "
        "adapter was asked; where every answer is the same and there is no GPU, the chat answers through it."
    )

    name: Literal["gguf"] = setting("gguf", "Export", "What is made.", labels={"gguf": "GGUF (llama.cpp, Ollama)"})
    dtype: Literal["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "F16", "BF16", "F32"] = setting(
        "Q8_0",
        "Weights",
        "8 bits a weight answer as the adapter does wherever it was measured; 16 bits are twice as large, 4 and 5 bits "
        "smaller and further away. Q4_1 holds the codes of QA-LoRA bit by bit.",
        labels={"Q8_0": "8-bit", "F16": "16-bit", "BF16": "16-bit (bfloat16)", "F32": "32-bit"},
    )
    questions: int = setting(
        200, "Questions to compare", "Held-out questions that adapter and file are both asked.", ge=0, le=10_000
    )

    def called(self) -> str:
        return f"gguf-{self.dtype}"

    def problems(self, run: Run) -> dict[str, Problem]:
        problems = {"name": gguf_problem(run) or merge_problem(run)}
        if self.dtype == "Q4_1" and not _fits_blocks(run.recipe().method):
            problems["dtype"] = Problem(
                "export.no_codes",
                "Q4_1 holds the codes of QA-LoRA in groups of 32, 64, 128, 256 or 512; this run has groups of {group}. "
                "Choose Q8_0.",
                group=dict(run.recipe().method)["group"],
            )
        return {setting: problem for setting, problem in problems.items() if problem is not None}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        file = folder / self.called_file(run)
        known, vocabulary, notes = self._asked(run, out, settings)
        self._written(run, vocabulary, file, out)
        beside = self.write_beside(run, file)
        measured, is_alike = _read_back(known, file, beside, out)
        if not is_alike:
            notes.append(OTHERWISE)
        return self.made(run, folder, began, measured, notes)

    def called_file(self, run: Run) -> str:
        return f"{run.id}-{self.dtype}.gguf"

    def network(self, run: Run, folder: Path) -> "PreTrainedModel":
        """What is written. folder: where its weights lie meanwhile if they are more than the memory holds."""
        return merged_model(run, folder)

    def write_beside(self, run: Run, file: Path) -> Path | None:
        """What goes with the file; an adapter that llama.cpp is to open with it, if there is one."""
        return None

    def _asked(self, run: Run, out: JobWriter, settings: Settings) -> tuple[Reference, Vocabulary, list[str]]:
        """What the adapter answers, and its tokenizer; the model is given back."""
        out.say("Loading the model.", state="starting")
        session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
        questions = questions_for(session, run, settings, self.questions)
        vocabulary, notes = _vocabulary(session, questions)
        known = reference(session, questions, telling(out, "The adapter answers"))
        del session
        give_memory_back()
        return known, vocabulary, notes

    def _written(self, run: Run, vocabulary: Vocabulary, file: Path, out: JobWriter) -> None:
        """Under another name until it is whole."""
        out.say("Merging base and adapter.")
        model = self.network(run, file.parent)
        if self.dtype == "F16" and not fits_fp16(model):
            raise too_large_for_fp16()
        partial = file.with_suffix(".partial")
        write_gguf(model, vocabulary, public_title(run), self.dtype, partial, telling(out, "Writing tensor"))
        _check_written(partial, model)
        partial.rename(file)
        del model
        give_memory_back()


def gguf_problem(run: Run) -> Problem | None:
    """Why its task, method or family cannot be one file that chats; None where they can."""
    if not run.task().is_chat:
        return Problem(
            "export.gguf_task",
            "llama.cpp answers in a chat, and this run learned something else. Export the merged model or the adapter.",
        )
    config = read_config(folder_of(run.base_model()) / "config.json")
    return family_problem(config)


def _vocabulary(session: ChatSession, questions: list[Asked]) -> tuple[Vocabulary, list[str]]:
    """Its tokenizer as llama.cpp has it, tried on what the run asks and learned; and what is to be known of it."""
    tokenizer, model = session.tokenizer, session.model
    ends = how_it_ends(model, tokenizer, False)["eos_token_id"]
    vocabulary = vocabulary_of(tokenizer, model.get_input_embeddings().weight.shape[0], ends)
    texts = {turn["content"] for one in questions for turn in one.question.example}
    texts |= {session.template.prompt(one.question.conversation).text for one in questions[:TEXTS]}
    texts.add(session.template.prompt([{"role": "user", "content": "Hello"}]).text)
    found, otherwise = with_words(vocabulary, tokenizer, sorted(texts)[:TEXTS])
    if not otherwise:
        return found, []
    return found, [
        f"llama.cpp cuts some texts into other tokens than this model's tokenizer, though none of the "
        f"{len(texts):,} of this run that were tried: for example {otherwise[0].strip()!r}."
    ]


def _check_written(file: Path, model: Any) -> None:
    """Raises UserError where gguf's own reader does not find the numbers that were to be in it."""
    from gguf import GGUFReader

    weights = {id(weight): weight.numel() for weight in model.parameters()}
    tensors = GGUFReader(file).tensors
    held = sum(int(tensor.n_elements) for tensor in tensors if tensor.name != "rope_freqs.weight")
    if held != sum(weights.values()):
        raise UserError(
            "export.gguf_not_whole",
            "The file holds {held:,} numbers and the model has {wanted:,}. Export it once more.",
            held=held,
            wanted=sum(weights.values()),
        )


def _read_back(known: Reference, file: Path, adapter: Path | None, out: JobWriter) -> tuple[Fidelity, bool]:
    """By llama.cpp; and does it write a conversation as it was learned? Raises UserError where it cannot open the
    file.
    """
    longest = [len(one.ids) + one.room for one in known.asked] + [len(one.ids) for one in known.rights]
    engine = LlamaCpp(file, max(longest, default=64), most_rows=1, adapter=adapter)
    try:
        return of_gguf(known, engine, telling(out, "llama.cpp answers")), known.is_written_alike(engine)
    finally:
        engine.close()


def _fits_blocks(method: MethodChoices) -> bool:
    """Of a method whose weights are whole numbers in groups: are these whole blocks, so that nothing is rounded?"""
    return not method.quantizes_itself or dict(method).get("group", 0) % BLOCK == 0
