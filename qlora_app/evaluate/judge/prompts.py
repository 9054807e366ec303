"""What a judge is asked: the paper's words, or a text of one's own with placeholders for question and answers."""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import UserError
from ...messages import Conversation
from ...storage.reading import parse_yaml, read_text

Way = Literal["pairs", "single"]

LARGEST_PROMPT = 20_000  # characters
_PAPER = Path(__file__).with_name("paper_prompts.yaml")
_PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")
_NEEDED: dict[Way, tuple[str, ...]] = {"pairs": ("question", "answer_1", "answer_2"), "single": ("question", "answer")}
_OTHER = (
    "expected",
    "category",
)  # may stand in every prompt: the right answer where there is one, and the question's kind
# The paper gives no prompt for one answer alone.
_SINGLE = """[Question]
{question}

[The Start of the Answer]
{answer}

[The End of the Answer]

Judge how good this answer to the question is: how helpful, relevant, accurate and detailed. Give your reasons in a few
sentences. Then write a last line that holds nothing but a whole number from 1 (useless) to 10 (it could not be better).
"""


@dataclass(frozen=True)
class JudgePrompt:
    """What is asked about one answer or two. `texts`: by the category of the question, "general" for all others."""

    way: Way
    system: str
    texts: Mapping[str, str]

    @classmethod
    def of(cls, way: Way, text: str = "") -> "JudgePrompt":
        """A text of one's own, or without one the paper's. Raises UserError for one that lacks a placeholder."""
        if not text.strip():
            return _usual(way)
        problem = _problem(way, text)
        if problem:
            raise problem
        return cls(way, _papers().system, {"general": text})

    @property
    def digest(self) -> str:
        """Tells apart what was asked in other words."""
        parts = [self.way, self.system, *(f"{name}\0{text}" for name, text in sorted(self.texts.items()))]
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()

    @property
    def general(self) -> str:
        """The text of most questions, as the page lets it be edited."""
        return self.texts["general"]

    def messages(self, category: str, **values: str) -> Conversation:
        """What is sent. What stands in an answer is never taken for a placeholder."""
        text = self.texts.get(category, self.general)
        known = {"category": category, "expected": "", **values}
        filled = _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), text)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": filled}]


def _problem(way: Way, text: str) -> UserError | None:
    named = _PLACEHOLDER.findall(text)
    missing = [name for name in _NEEDED[way] if name not in named]
    unknown = [name for name in dict.fromkeys(named) if name not in (*_NEEDED[way], *_OTHER)]
    if len(text) > LARGEST_PROMPT:
        return UserError.at(
            "prompt",
            "judge.prompt_too_long",
            "The prompt of the judge has {length:,} characters, and at most {most:,} are sent with every answer.",
            length=len(text),
            most=LARGEST_PROMPT,
        )
    if missing:
        return UserError.at(
            "prompt",
            "judge.prompt_lacks",
            "The prompt of the judge lacks {missing}. Write it where the judge is to read it.",
            missing=_listed(missing),
        )
    if unknown:
        return UserError.at(
            "prompt",
            "judge.prompt_unknown",
            "In the prompt of the judge stands {unknown}, and nothing can be put there. There are {known}.",
            unknown=_listed(unknown),
            known=_listed([*_NEEDED[way], *_OTHER]),
        )
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _usual(way: Way) -> JudgePrompt:
    return _papers() if way == "pairs" else JudgePrompt("single", _papers().system, {"general": _SINGLE})


@functools.cache
def _papers() -> JudgePrompt:
    told = parse_yaml(read_text(_PAPER))
    texts = {category: f"{told['template']}{task.strip()}\n\n" for category, task in told["tasks"].items()}
    return JudgePrompt("pairs", told["system"], texts)
