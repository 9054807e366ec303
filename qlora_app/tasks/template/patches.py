"""Reaches into the insides of other libraries, each with its reason. Written for transformers 5.20 to 5.23."""

from datetime import date
from functools import lru_cache
from typing import Any

from .bounded import bounded


def render_template(template: str, messages: list[dict[str, Any]], today: date, **variables: Any) -> str:
    """What a chat template writes. `messages` and `variables` are of plain JSON types. Raises jinja2.TemplateError.

    Through `apply_chat_template` no template could be given a date: it reads the clock by a global `strftime_now`, and
    functions among its arguments are replaced by placeholders. The sandbox and its filters are transformers' own.
    """
    return _compiled(template)(messages=messages, documents=None, strftime_now=today.strftime, **variables)


def render_template_of(tokenizer: Any, messages: list[dict[str, Any]], opening: bool) -> str:
    """What a tokenizer's own template writes today; "" where it has none. opening: with what asks for an answer."""
    if not tokenizer.chat_template:
        return ""
    template = tokenizer.get_chat_template()
    how = {"add_generation_prompt": opening, "tools": None}
    return render_template(template, messages, date.today(), **tokenizer.special_tokens_map, **how)


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    from transformers.utils import chat_template_utils

    # Of a template that says nothing: to compile this one as it is would compute its constants, such as 'a' * 10**9.
    return bounded(chat_template_utils._compile_jinja_template("").environment, template)
