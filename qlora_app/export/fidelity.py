"""How far an export is from the adapter it was made from: both are asked the same, and the chances that they give to
right answers are compared, token by token where an answer is a text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..inference.llama_cpp import NAME, Letters, LlamaCpp
from ..inference.rows import Asked as AskedRow
from ..inference.rows import Ended, Row
from ..inference.session import ChatSession
from ..inference.writing import ending_check
from ..messages import IGNORED, Conversation
from ..preflight import examples_of
from ..runs import Run
from ..runs.exports import Differing, Fidelity
from ..runs.proof import Shares
from ..settings import Settings
from ..tasks.asked import Asked, asked
from ..tasks.generate import context_of, how_it_ends, prompt_for, read_answer
from ..tasks.packing import on_device
from ..tasks.task import Question, Task, evaluating, in_batches, same_answer
from ..tasks.template import ChatTemplate

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

# What is asked where the data of a run are gone, or were never here.
GENERAL = (
    "Hello!",
    "Who are you?",
    "What is the capital of France?",
    "Write a sentence about the sea.",
    "Explain in a few words how bread is made.",
    "def add(a, b):",
    "What is 7 times 8?",
    "Name three colours.",
    "Translate to German: Good morning.",
    "Why is the sky blue?",
    "Tell me a short story about a cat.",
    "What should I cook tonight?",
)
LONGEST = 32  # tokens of an answer to them
AT_ONCE = 32  # questions
GREETING: Conversation = [{"role": "user", "content": "Hello"}]
COMPARED = 64  # questions whose right answers are followed token by token
NUMBERS = 64_000_000  # logits that are kept for it: a quarter of a gigabyte
UNLIMITED, ENDS = 4096, 2  # tokens that are read of models without a limit; places that some keep of theirs
LISTED = 50  # answers that differ are shown of so many
LIKELIEST = 40  # chances that llama.cpp is asked for; the others count as one
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Right:
    """A question with its right answer, as the task encodes it."""

    ids: list[int]
    labels: list[int]

    @property
    def places(self) -> list[int]:
        """Of a text that goes on: where the tokens of the answer stand."""
        return [place for place, label in enumerate(self.labels) if label != IGNORED]

    def beginning(self, most: int) -> "Right":
        """Compared are its first `most` tokens at the most; what is read before them stays."""
        left = set(self.places[:most])
        return Right(self.ids, [label if place in left else IGNORED for place, label in enumerate(self.labels)])


@dataclass(frozen=True)
class Reference:
    """What the adapter says: its answers, and its logits [labels, choices] on right ones."""

    questions: list[Question]
    asked: list[AskedRow]  # the same as prompts, where it is talked to
    longest: int  # tokens of an answer
    answers: list[str]
    rights: list[Right]
    logits: list["torch.Tensor"]
    tokenizer: "PreTrainedTokenizerBase"

    def is_written_alike(self, engine: LlamaCpp) -> bool:
        """Does llama.cpp write a conversation as it was learned? Our own prompts never ask its template."""
        asking = self.questions[0].conversation if self.questions else GREETING
        template = ChatTemplate.of(self.tokenizer)
        return engine.prompt(asking) == template.prompt(asking, template.thinks_by_default).text


def questions_for(session: ChatSession, run: Run, settings: Settings, most: int) -> list[Asked]:
    """At most `most` questions of rows that were never learned, evenly over them. Where the data are gone, general
    ones; none of a task that chooses among labels or words of its data.
    """
    found = _held_out(session, run, settings, most)
    if found or session.task.has_candidates:
        return found
    talks = [session.as_trained([{"role": "user", "content": text}]) for text in GENERAL]
    return [Asked(Question(talk, ""), 0, 0, LONGEST) for talk in talks[:most]]


def _held_out(session: ChatSession, run: Run, settings: Settings, most: int) -> list[Asked]:
    try:
        examples = examples_of(run.recipe().dataset, settings.data).held_out
    except UserError:
        return []
    rows = range(len(examples)) if len(examples) <= most else [i * len(examples) // most for i in range(most)]
    context = context_of(session.model)
    found: list[Asked] = []
    for row in rows:
        talk = session.as_trained(examples[row])
        questions = session.task.questions(session.tokenizer, talk)[:1]
        found += filter(None, (asked(session.task, session.tokenizer, one, context) for one in questions))
    return found


def reference(session: ChatSession, questions: list[Asked], on_progress: Progress) -> Reference:
    """Asks the adapter. `on_progress` hears how many of how many questions are answered."""
    asking = [one.question for one in questions]
    longest = max((one.longest for one in questions), default=0)
    rows = [_row(session, question, longest) for question in asking] if session.task.is_chat else []
    answers = _answers(session, asking, longest, on_progress)
    rights = _rights(session, asking, answers)
    logits = session.alone(lambda: outcomes(session.model, session.task, session.tokenizer, rights))
    return Reference(asking, rows, longest, answers, rights, logits, session.tokenizer)


def _answers(session: ChatSession, asking: list[Question], longest: int, on_progress: Progress) -> list[str]:
    """Greedy, and all as long as `longest` at the most, so that none is shorter for its neighbours."""
    answers: list[str] = []
    for part in in_batches(asking, AT_ONCE):
        conversations = [question.conversation for question in part]
        thinking = [question.thinking for question in part]
        answers += session.answer_all(conversations, max_new_tokens=longest, thinking=thinking)
        on_progress(len(answers), len(asking))
    return answers


def _row(session: ChatSession, question: Question, longest: int) -> AskedRow:
    """As our own engine is asked it."""
    model, tokenizer, thinking = session.model, session.tokenizer, question.thinking
    prompt = prompt_for(tokenizer, question.conversation, context_of(model), longest, thinking)
    return AskedRow(
        ids=prompt.ids,
        room=prompt.room,
        ends=frozenset(how_it_ends(model, tokenizer, thinking)["eos_token_id"]),
        ends_with=ending_check(tokenizer, ChatTemplate.of(tokenizer).stop_strings, thinking),
    )


def _rights(session: ChatSession, questions: list[Question], answers: list[str]) -> list[Right]:
    """As many as there is room for their logits. Of a general question, the adapter's own answer is the right one."""
    room = NUMBERS // int(session.model.config.get_text_config().vocab_size)
    read = (context_of(session.model) or UNLIMITED) - ENDS
    found: list[Right] = []
    for question, answer in list(zip(questions, answers, strict=True))[:COMPARED]:
        example = question.example
        if not question.expected:
            example = [*question.conversation, {"role": "assistant", "content": answer or "a", "train": True}]
        made = session.task.encode(session.tokenizer, example, read)
        right = Right(list(made.input_ids), list(made.labels)).beginning(room)
        room -= len(right.places)
        if right.places:
            found.append(right)
    return found


def outcomes(
    model: Any, task: Task, tokenizer: "PreTrainedTokenizerBase", rights: Sequence[Right]
) -> list["torch.Tensor"]:
    """Logits [labels, choices] of a model for what each right answer says."""
    collate = task.collator(tokenizer, packing=False)
    found = []
    with evaluating(model):
        for one in rights:
            batch = on_device(collate([{"input_ids": one.ids, "labels": one.labels}]), model.device)
            _, logits, _ = task.outcome(model, batch)
            found.append(logits.float().cpu())
    return found


# ---- an export that transformers opens


def of_model(known: Reference, session: ChatSession, on_progress: Progress) -> Fidelity:
    """session: the export, as it lies on the disk."""
    answers = _answers(session, known.questions, known.longest, on_progress)
    logits = session.alone(lambda: outcomes(session.model, session.task, session.tokenizer, known.rights))
    return _figures("transformers", known, answers, **_distances(known.logits, logits))


def _distances(before: list["torch.Tensor"], after: list["torch.Tensor"]) -> dict[str, Any]:
    import torch

    if not before:
        return {}
    a, b = torch.cat(before), torch.cat(after)
    kl = (a.softmax(-1) * (a.log_softmax(-1) - b.log_softmax(-1))).sum(-1).clamp_min(0)
    return {
        "positions": len(a),
        "first_choice": float((a.argmax(-1) == b.argmax(-1)).float().mean()),
        "logits": float((a - b).norm() / a.norm()),
        "kl_mean": float(kl.mean()),
        "kl_max": float(kl.max()),
    }


# ---- an export that llama.cpp opens


def of_gguf(known: Reference, engine: LlamaCpp, on_progress: Progress) -> Fidelity:
    """engine: the export, opened by llama.cpp."""
    engine.letters = Letters.of(known.tokenizer)
    answers: list[str] = []
    for question, asked_row in zip(known.questions, known.asked, strict=True):
        row = engine.submit(Row(asked_row))
        ids = [event.id for event in row if not isinstance(event, Ended)]
        answers.append(read_answer(known.tokenizer, ids, (), question.thinking).text)
        on_progress(len(answers), len(known.questions))
    return _figures(NAME, known, answers, **_distances_of_likeliest(known, engine))


def _distances_of_likeliest(known: Reference, engine: LlamaCpp) -> dict[str, Any]:
    """Of the chances that llama.cpp tells; what it does not name counts as one token, so the real distance is a bit
    larger.
    """
    import torch

    same, distances = 0, []
    end = min((end for row in known.asked for end in row.ends), default=0)
    for right, logits in zip(known.rights, known.logits, strict=True):
        for place, row in zip(right.places, logits, strict=True):
            told = engine.likeliest_after(right.ids[:place], LIKELIEST, end)
            same += told[0][0] == int(row.argmax())
            p = row.double().softmax(-1)[[id for id, _ in told]]
            q = torch.tensor([log for _, log in told], dtype=torch.float64).exp()
            p, q = (torch.cat([x, (1 - x.sum()).clamp_min(1e-12)[None]]).clamp_min(1e-12) for x in (p, q))
            distances.append(float((p * (p / q).log()).sum().clamp_min(0)))
    if not distances:
        return {}
    return {
        "positions": len(distances),
        "first_choice": same / len(distances),
        "kl_mean": sum(distances) / len(distances),
        "kl_max": max(distances),
    }


# ---- both


def _figures(reader: str, known: Reference, answers: list[str], **distances: Any) -> Fidelity:
    expected = [question.expected for question in known.questions]
    is_general = not any(expected)
    differing = [
        Differing(question.text, question.expected, trained, exported)
        for question, trained, exported in zip(known.questions, known.answers, answers, strict=True)
        if trained != exported
    ]
    return Fidelity(
        reader=reader,
        questions=len(answers),
        about="general" if is_general else "held-out",
        same=len(answers) - len(differing),
        exact_match=Shares() if is_general else Shares(_right(known.answers, expected), _right(answers, expected)),
        differing=tuple(differing[:LISTED]),
        **distances,
    )


def _right(answers: list[str], expected: list[str]) -> float | None:
    if not answers:
        return None
    return sum(map(same_answer, answers, expected)) / len(answers)
