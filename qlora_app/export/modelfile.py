"""The text of a Modelfile: how Ollama writes a conversation, in the language of Go's templates, which is found by
trying the chat template of the training.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..inference.loaded import tokenizer_of
from ..messages import Conversation
from ..runs import Run
from ..tasks.template import ChatTemplate
from .exporter import longest

QUESTION, ANSWER, AGAIN, SYSTEM = "QUESTIONONE", "ANSWERONE", "QUESTIONTWO", "SYSTEMTEXT"
QUOTES = '"""'
AS_MEASURED = {"temperature": 0, "repeat_penalty": 1}  # Ollama's own are 0.8 and 1.1: it would answer otherwise


@dataclass(frozen=True)
class Written:
    """A conversation as Ollama writes it: what stands around the words of each role."""

    start: str  # where there is no system text
    system: tuple[str, str] | None  # around it, up to the first question; None where the template takes none
    user: tuple[str, str]  # around what is asked
    answer: tuple[str, str]  # around an answer that was given
    opening: str  # what the next answer begins with

    @classmethod
    def of(cls, template: ChatTemplate) -> "Written":
        """Raises UserError where the chat template writes otherwise than any such."""
        one = _prompt(template, [QUESTION])
        two = _prompt(template, [QUESTION, ANSWER, AGAIN])
        if any(two.count(word) != 1 for word in (QUESTION, ANSWER, AGAIN)) or one.count(QUESTION) != 1:
            raise _unlike()
        head, tail = one.split(QUESTION)
        inner = two.partition(QUESTION)[2].partition(ANSWER)[0]
        between = two.partition(ANSWER)[2].partition(AGAIN)[0]
        before_user = _common_start(head[::-1], between[::-1])[::-1]
        after_user = _common_start(inner, tail)
        found = cls(
            start=head.removesuffix(before_user),
            system=_around_system(template),
            user=(before_user, after_user),
            answer=(inner.removeprefix(after_user), between.removesuffix(before_user)),
            opening=tail.removeprefix(after_user),
        )
        found.check(template)
        return found

    def text(self, conversation: Conversation) -> str:
        """As Ollama makes it of its template."""
        around = {"system": self.system or ("", ""), "user": self.user, "assistant": self.answer}
        turns = [turn["content"].join(around[turn["role"]]) for turn in conversation]
        if conversation[0]["role"] == "system":
            turns[1] = turns[1].removeprefix(self.user[0])
        else:
            turns.insert(0, self.start)
        return "".join([*turns, self.opening])

    def check(self, template: ChatTemplate) -> None:
        """Raises UserError where it is not, letter by letter, what the model learned with."""
        talks = [[QUESTION], [QUESTION, ANSWER, AGAIN], ["one", "two", "three", "four", "five"]]
        for words in talks:
            for system in ("", SYSTEM) if self.system else ("",):
                if self.text(_talk(words, system)) != _prompt(template, words, system):
                    raise _unlike()

    def in_go(self) -> str:
        """As a TEMPLATE."""
        before = _literal(self.user[0])
        turns = '{{ if eq .Role "user" }}'
        if self.system:  # which leads up to the first question
            system = '{{ if eq .Role "system" }}' + _turn(self.system)
            turns = system + "{{ else }}" + turns
            before = "{{ if not (and $.System (eq $i 1)) }}" + before + "{{ end }}"
        turns += before + _turn(("", self.user[1])) + "{{ else }}" + _turn(self.answer) + "{{ end }}"
        turns += "{{ end }}" if self.system else ""
        start = "{{ if not .System }}" + _literal(self.start) + "{{ end }}" if self.start else ""
        return start + "{{ range $i, $_ := .Messages }}" + turns + "{{ end }}" + _literal(self.opening)


@dataclass(frozen=True)
class Asked:
    """How Ollama is to ask a model: as it was measured."""

    template: str
    system: str
    stops: list[str]
    options: dict[str, int]

    @classmethod
    def of(cls, run: Run) -> "Asked":
        """Raises UserError where Ollama cannot write what the model learned with."""
        tokenizer = tokenizer_of(run.adapter)
        template = ChatTemplate.of(tokenizer)
        made = Written.of(template).in_go()
        if any(QUOTES in text for text in (made, template.system)):
            raise _unlike()
        ends = [str(tokenizer.convert_ids_to_tokens(id)) for id in template.stop_ids(template.thinks_by_default)]
        stops = list(dict.fromkeys([*ends, *template.stop_strings]))
        return cls(made, template.system, stops, {"num_ctx": longest(run)} | AS_MEASURED)

    def modelfile(self, file: str) -> str:
        """file: the GGUF beside it."""
        lines = [f"FROM ./{file}", f"TEMPLATE {QUOTES}{self.template}{QUOTES}"]
        lines += [f'PARAMETER stop "{end}"' for end in self.stops]
        lines += [f"PARAMETER {name} {value}" for name, value in self.options.items()]
        lines += [f"SYSTEM {QUOTES}{self.system}{QUOTES}"] if self.system else []
        return "\n".join(lines) + "\n"

    def hub_files(self) -> dict[str, str]:
        """{name: text} of what Ollama reads beside a GGUF on the Hub, where no Modelfile counts.

        Source: huggingface.co/docs/hub/ollama, custom chat template and parameters.
        """
        system = {"system": self.system} if self.system else {}
        return {"template": self.template, "params": json.dumps(self.options | {"stop": self.stops})} | system


def ollama_commands(run: Run, file: str) -> str:
    """What makes a model of Ollama of a Modelfile, and opens the same file in LM Studio and llama.cpp; all of them in
    the folder that it lies in.
    """
    name = shlex.quote(run.id)
    return (
        f"ollama create {name} -f Modelfile && ollama run {name}\n"
        f"lms import {shlex.quote(file)}\n"
        f"llama-cli --model {shlex.quote(file)} --jinja --temp 0"
    )


def _unlike() -> UserError:
    return UserError(
        "export.ollama_template",
        "The chat template of this model writes conversations in a way that Ollama's templates cannot. Export the "
        "GGUF and serve it with `llama-server --jinja`.",
    )


def _talk(words: Sequence[str], system: str = "") -> Conversation:
    talk: Conversation = [{"role": "system", "content": system}] if system else []
    for place, text in enumerate(words):
        talk.append({"role": "assistant" if place % 2 else "user", "content": text})
    return talk


def _prompt(template: ChatTemplate, words: Sequence[str], system: str = "") -> str:
    return template.prompt(_talk(words, system), template.thinks_by_default).text


def _around_system(template: ChatTemplate) -> tuple[str, str] | None:
    try:
        made = _prompt(template, [QUESTION], SYSTEM)
    except UserError:  # it takes none
        return None
    if made.count(SYSTEM) != 1:
        return None
    before, _, rest = made.partition(SYSTEM)
    return before, rest.partition(QUESTION)[0]


def _common_start(one: str, other: str) -> str:
    count = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[:count] if count is not None else min(one, other, key=len)


def _turn(around: tuple[str, str]) -> str:
    before, after = map(_literal, around)
    return f"{before}{{{{ .Content }}}}{after}"


def _literal(text: str) -> str:
    """In Go's templates: what would begin an action stands as a string in one."""
    return text.replace("{{", '{{ "{{" }}')
