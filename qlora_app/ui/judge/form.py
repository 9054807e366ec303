"""The form that starts a judge: what it costs stands beside its button, and changes with what is typed."""

from collections.abc import Mapping
from html import escape
from typing import Any

from pydantic import ValidationError

from ...errors import Problem, UserError
from ...evaluate import Judge
from ...evaluate.judge import JudgePrompt
from ...settings import Endpoint
from ..language import problem_in

Typed = Mapping[str, str]  # {name of a field: what stands in it}

NUMBERS = (  # name, words, placeholder
    ("price_in", "Price of a million tokens read", "0"),
    ("price_out", "Price of a million tokens written", "0"),
    ("most_money", "Most money", "no limit"),
    ("most_calls", "Most calls", "no limit"),
    ("at_once", "Questions at once", "4"),
)
WORDS = (
    "The words of the QLoRA paper. Unless you change them, code and mathematics are asked about in words of their own."
)
WAYS = (("pairs", "Which of two is better, in both orders"), ("single", "Each alone, from 1 to 10"))


def judge_of(typed: Typed) -> Judge:
    """What was typed. A prompt that is still the paper's is not one of one's own. Raises UserError."""
    way: Any = typed.get("way", "pairs")
    prompt = typed.get("prompt", "").replace("\r\n", "\n").strip()
    is_usual = any(prompt == JudgePrompt.of(one).general.strip() for one in ("pairs", "single"))
    numbers = {name: _number(name, typed.get(name, "")) for name, *_ in NUMBERS}
    told = {name: value for name, value in numbers.items() if value is not None}
    if "most_money" in told and not (told.get("price_in") or told.get("price_out")):
        raise UserError("judge.no_price", "A limit in money needs prices: for what is read and for what is written.")
    try:
        return Judge(endpoint=typed.get("endpoint", ""), way=way, prompt="" if is_usual else prompt, **told)
    except ValidationError as error:
        where, why = error.errors()[0]["loc"], error.errors()[0]["msg"]
        raise UserError(
            "judge.wrong_value", "{field}: {why}.", field=str(where[-1] if where else ""), why=why
        ) from error


def form_html(action: str, typed: Typed, endpoints: tuple[Endpoint, ...], cost: Problem | None, language: str) -> str:
    """The fields with what was typed. cost: what it would cost, or why it cannot start. In English but for that."""
    way = typed.get("way", "pairs")
    prompt = typed.get("prompt") or JudgePrompt.of("single" if way == "single" else "pairs").general
    judges = _options([(one.name, one.name) for one in endpoints], typed.get("endpoint", ""), translate="no")
    numbers = "".join(
        f'<label><span>{words}</span><input name="{name}" inputmode="decimal" autocomplete="off" '
        f'placeholder="{empty}" value="{escape(typed.get(name, ""))}"></label>'
        for name, words, empty in NUMBERS
    )
    said = escape(problem_in(cost, language)) if cost else ""
    return f"""<form method="post" action="{action}/start" data-cost="{action}/cost" class="judge-form">
<div class="fields"><label><span>Judge</span><select name="endpoint" translate="no">{judges}</select></label>
<label><span>How it judges</span><select name="way">{_options(WAYS, way)}</select></label>{numbers}</div>
<label><span>Prompt of the judge</span>
<textarea name="prompt" rows="9" translate="no" spellcheck="false">{escape(prompt)}</textarea></label>
<p class="muted">{WORDS}</p>
<p id="cost" role="status" class="lead">{said}</p>
<div class="deeds"><button formmethod="get" formaction="{action}">What does it cost?</button>
<button class="main">Start the judge</button></div></form>"""


def _options(options: Any, chosen: str, translate: str = "") -> str:
    mark = f' translate="{translate}"' if translate else ""
    return "".join(
        f'<option value="{escape(value)}"{mark}{" selected" if value == chosen else ""}>{escape(words)}</option>'
        for value, words in options
    )


def _number(name: str, text: str) -> float | int | None:
    """What stands in a field, with a comma or a point; None for an empty one. Raises UserError."""
    plain = text.strip().replace(",", ".")
    if not plain:
        return None
    try:
        value = float(plain)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e12 or (name in ("most_calls", "at_once") and not value.is_integer()):
        raise UserError("judge.no_number", "{text} is no number that could be used here.", text=text.strip()[:40])
    return int(value) if name in ("most_calls", "at_once") else value
