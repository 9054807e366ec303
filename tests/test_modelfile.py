"""The Modelfile: Go's template writes what the chat template does, for published templates too."""

import re

import pytest

from qlora_app.errors import UserError
from qlora_app.export.modelfile import Written
from qlora_app.tasks.chat import ensure_template
from qlora_app.tasks.template import ChatTemplate
from tests.chat_templates import KINDS, tokenizer_for
from tests.refusing import refused
from tests.tiny_models import FAMILIES

TALK = [("user", "Hi {{ there }}"), ("assistant", "Hello\n\nyou"), ("user", "Who?")]
ACTION = re.compile(r"\{\{ (.+?) \}\}")


def by_go(template, messages):
    """What Go makes of the part of its language that we write: if, else, end, range, eq, not, literals."""
    parts = ACTION.split(template)
    system = next((text for role, text in messages if role == "system"), "")

    def run(at, ends, message, is_on):
        made = ""
        while at < len(parts):
            text, action = parts[at], parts[at + 1] if at + 1 < len(parts) else None
            made += text if is_on else ""
            if action is None or action in ends:
                return made, at
            at += 2
            if action.startswith('"'):
                made += action.strip('"') if is_on else ""
            elif action == ".Content":
                made += message[1] if is_on else ""
            elif action == "range $i, $_ := .Messages":
                for place, (role, text) in enumerate(messages):
                    inner, end = run(at, ("end",), (role, text, place), is_on)
                    made += inner
                at = end + 2
            else:
                holds = {
                    "if not .System": lambda: not system,
                    "if not (and $.System (eq $i 1))": lambda: not (system and message[2] == 1),
                    'if eq .Role "system"': lambda: message[0] == "system",
                    'if eq .Role "user"': lambda: message[0] == "user",
                }[action]()
                inner, end = run(at, ("else", "end"), message, is_on and holds)
                made += inner
                if parts[end + 1] == "else":
                    inner, end = run(end + 2, ("end",), message, is_on and not holds)
                    made += inner
                at = end + 2
        return made, at

    return run(0, (), None, True)[0]


def guanaco(text=None):
    tokenizer = FAMILIES["llama"].tokenizer()
    tokenizer.chat_template = text
    ensure_template(tokenizer)
    return ChatTemplate.of(tokenizer)


CANNOT = {"mistral_v03", "mistral_tekken"}  # the system text stands in the last question


@pytest.mark.parametrize("name", [None, *KINDS], ids=str)
def test_ollama_writes_what_was_learned_or_says_that_it_cannot(name):
    template = ChatTemplate.of(tokenizer_for(name)) if name else guanaco()
    try:
        written = Written.of(template)
    except UserError as error:
        assert error.code == "export.ollama_template" and name in CANNOT, str(error)
        return
    assert name not in CANNOT
    for talk in (TALK[:1], TALK, [("system", "Be kind."), *TALK]) if written.system else (TALK[:1], TALK):
        wanted = template.prompt([{"role": role, "content": text} for role, text in talk], template.thinks_by_default)
        assert by_go(written.in_go(), talk) == wanted.text


def test_a_template_that_numbers_its_turns_is_refused():
    text = "{% for m in messages %}{{ loop.index }} {{ m['role'] }}: {{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    with refused("export.ollama_template"):
        Written.of(guanaco(text + "{{ messages | length + 1 }} assistant: "))
