"""Whatever a model would rather say: where a tool has to be called, what it writes is a call that the tool takes."""

import random

import numpy as np
import pytest

from qlora_app.inference.grammar import Grammar, known
from qlora_app.inference.must_call import MustCall
from qlora_app.tasks.template.call_arguments import Marked
from qlora_app.tasks.template.calls import CallForm
from tests.tasks.test_calls import READ, knowing

YARD, COLOUR, SIZE = {"type": "integer"}, {"type": "string"}, {"enum": ["big", "small"]}
HENS = {"properties": {"yard": YARD, "colour": COLOUR, "size": SIZE}, "required": ["yard"], "type": "object"}
TOOLS = [
    {"type": "function", "function": {"name": "count_hens", "parameters": HENS}},
    {"type": "function", "function": {"name": "ring-the.bell"}},
]
ALONE = {"add_special_tokens": False}
MOST = 20_000  # tokens


def walk(tokenizer, must_call, seed):
    """Words of a model that has no preferences but to end soon, a text as well as all of it."""
    as_known = known(tokenizer, [tokenizer.eos_token_id], len(tokenizer))
    form = CallForm.of(tokenizer)
    matcher = Grammar(must_call.rules(form, tokenizer, as_known), as_known).begin()
    closing = tokenizer.encode(form.arguments.end if isinstance(form.arguments, Marked) else '"', **ALONE)
    dice, tokens = random.Random(seed), []
    while len(tokens) < MOST:
        bits = np.frombuffer(matcher._matcher.compute_bitmask(), np.uint8)
        may = np.unpackbits(bits, count=len(tokenizer), bitorder="little").nonzero()[0].tolist()
        if tokenizer.eos_token_id in may:
            return form.read(tokenizer.decode(tokens), must_call.tools)
        tokens.append(dice.choice(may))
        matcher.take(tokens[-1])
        if len(tokens) % 10 == 0:
            tokens += closing[: matcher._matcher.try_consume_tokens(closing)]
    raise AssertionError("it does not end")


def fits(call):
    if call.name == "ring-the.bell":
        return call.arguments == {}
    yard, colour, size = (call.arguments.get(key) for key in ("yard", "colour", "size"))
    is_known = set(call.arguments) <= {"yard", "colour", "size"}
    return is_known and isinstance(yard, int) and isinstance(colour, str | None) and size in (None, "big", "small")


@pytest.mark.parametrize("name", READ)
def test_what_is_written_is_read_as_calls_that_the_tools_take(name):
    tokenizer = knowing(name)
    found = [walk(tokenizer, MustCall(TOOLS), seed) for seed in range(12)]
    assert all(reading.calls and all(map(fits, reading.calls)) for reading in found), found
    assert {call.name for reading in found for call in reading.calls} == {"count_hens", "ring-the.bell"}
    alone = [walk(tokenizer, MustCall(TOOLS[:1], several=False), seed) for seed in range(2)]
    assert [[call.name for call in reading.calls] for reading in alone] == [["count_hens"]] * 2
