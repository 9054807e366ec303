"""An answer that has to call a tool, as a grammar in llguidance's dialect of Lark: written as the chat template of the
model writes calls, with the arguments that the tool takes.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..tasks.template.call_arguments import Marked, is_text
from ..tasks.template.calls import CallForm, properties_of
from .grammar import WHITESPACE

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from transformers import PreTrainedTokenizerBase

Rules = list[str]


@dataclass(frozen=True)
class MustCall:
    """The tools of which one is called, as a request has them; several: or more than one call."""

    tools: Sequence[dict[str, Any]]
    several: bool = True

    def rules(self, form: CallForm, tokenizer: "PreTrainedTokenizerBase", known: "LLTokenizer") -> str:
        """Nothing stands before the first call; the token that ends an answer may follow the last one. known: the
        tokenizer as llguidance reads it.
        """
        literals = _Literals(tokenizer, known)
        names = [f"call_{number}" for number in range(len(self.tools))]
        more = f"({literals.of(form.between)} call)*" if self.several and form.between else ""
        mark = form.begin.lstrip()
        blanks = form.begin.removesuffix(mark)
        begin = f"{_quoted(blanks)}? {literals.of(mark)}" if blanks else literals.of(mark)
        end = literals.of(literals.without_last(form.end))
        rules = [f"start: {begin} call {more} {end}", f"call: {' | '.join(names)}"]
        for name, tool in zip(names, self.tools, strict=True):
            called = literals.of(tool["function"]["name"] + form.middle)
            rules.append(f"{name}: {called} {name}_arguments")
            if isinstance(form.arguments, Marked):
                rules += _marked(f"{name}_arguments", tool, form.arguments, literals)
            else:
                rules.append(f"{name}_arguments: {_json(_parameters(tool))}")
        return "\n".join(rules)


def _parameters(tool: dict[str, Any]) -> dict[str, Any]:
    """As JSON schema, of an object: those that it names and no others, where it does not say otherwise."""
    told = {"type": "object"} | (tool["function"].get("parameters") or {"properties": {}})
    return {"additionalProperties": False} | told if "properties" in told else told


def _marked(name: str, tool: dict[str, Any], form: Marked, literals: "_Literals") -> Rules:
    """Those that a tool names, in its order; without what it does not demand, if the model likes."""
    required = tool["function"].get("parameters", {}).get("required", ())
    parts, rules = [], []
    for number, (key, schema) in enumerate(properties_of(tool).items()):
        value = f"{name}_{number}"
        written = f"{literals.of(form.begin + key + form.middle)} {value}"
        parts.append(written if key in required else f"({written})?")
        rules += _value(value, schema, literals.parts(form.end))
    return [f"{name}: {' '.join(parts)}", *rules]


def _value(name: str, schema: Any, end: list[str]) -> Rules:
    """A value and the mark that ends it: no text has a control token in it, and none that of letters."""
    closing, text = " ".join(end), f"{name.upper()}_TEXT"
    if not is_text(schema):
        return [f"{name}: {_json(schema)} {closing}"]
    if choices := schema.get("enum"):
        return [f"{name}: ({' | '.join(map(_quoted, choices))}) {closing}"]
    if end[0].startswith("<"):
        return [f"{name}: {text}? {closing}", f"{text}: /(?s:.+)/"]
    return [f"{name}: {name}_text {' '.join(end[1:])}", f"{name}_text[suffix={end[0]}]: /(?s:.*)/"]


def _json(schema: Any) -> str:
    told = schema if isinstance(schema, dict) else {}
    return f"%json {json.dumps(told | {'x-guidance': {'whitespace_pattern': WHITESPACE}})}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class _Literals:
    """Texts as a grammar has them: a control token is named by its number, for no letters make one."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", known: "LLTokenizer") -> None:
        added = tokenizer.added_tokens_decoder.items()
        self._control = {token.content: id for id, token in added if known.is_special_token(id)}
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(map(re.escape, longest_first))})" if longest_first else "(?!)()")

    def of(self, text: str) -> str:
        return " ".join(self.parts(text))

    def parts(self, text: str) -> list[str]:
        """In their order."""
        return [self._one(part) for part in self._pattern.split(text) if part]

    def without_last(self, text: str) -> str:
        """Without the control token that stands at its end."""
        last = next((token for token in self._control if text.endswith(token)), "")
        return text.removesuffix(last)

    def _one(self, part: str) -> str:
        return f"<[{self._control[part]}]>" if part in self._control else _quoted(part)
