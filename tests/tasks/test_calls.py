"""Calls of tools are read as the chat templates of the families write them."""

import copy
import functools
import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlora_app.tasks.template import ChatTemplate
from qlora_app.tasks.template.calls import Call, CallForm, Reading
from tests.chat_templates import KINDS, tokenizer_for

NOT_READ = {"glm4"}  # writes calls on a line of their own that is not learned
KNOWING = [name for name in KINDS if ChatTemplate.of(tokenizer_for(name)).traits.knows_tools]
CODER = "qwen3_coder"
READ = [*(name for name in KNOWING if name not in NOT_READ), CODER]

names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
# As Qwen3-Coder writes calls: numbers as JSON, but true, false and nothing as Python does.
AS_CODER = """{{- "\\n<tool_call>\\n<function=" ~ call.name ~ ">" }}
{%- for name, value in call.arguments.items() %}
{{- "\\n<parameter=" ~ name ~ ">\\n" }}
{{- value if value is string or value is boolean or value is none else value | tojson }}{{ "\\n</parameter>" }}
{%- endfor %}{{ "\\n</function>\\n</tool_call>" }}"""
a_call = st.builds(Call, names, st.dictionaries(names, values, max_size=3))


@functools.cache
def knowing(name):
    """The tokenizer of a kind, with its chat template."""
    if name != CODER:
        return tokenizer_for(name)
    tokenizer = copy.deepcopy(tokenizer_for("qwen3_instruct"))
    as_json = re.search(r'{{- "\\n<tool_call>.*}}', tokenizer.chat_template)[0]
    tokenizer.chat_template = tokenizer.chat_template.replace(as_json, AS_CODER)
    return tokenizer


SEVERAL = [name for name in READ if CallForm.of(knowing(name)).between]


def tool_of(call):
    """That takes what a call says."""
    texts = {key: {"type": "string"} for key, value in call.arguments.items() if isinstance(value, str)}
    return {"type": "function", "function": {"name": call.name, "parameters": {"properties": texts}}}


def written(tokenizer, calls):
    """What a model has to write, up to the token that ends it."""
    tools = [tool_of(call) for call in calls]
    conversation = [
        {"role": "user", "content": "question", "tools": json.dumps(tools)},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([call._asdict() for call in calls])},
    ]
    made = ChatTemplate.of(tokenizer).place(conversation)
    return made.text[made.answers[-1].start : made.answers[-1].end].rpartition("</think>")[2]


def test_most_templates_with_tools_are_read():
    assert len(READ) >= 10 and len(SEVERAL) >= 8
    for name in NOT_READ:
        assert CallForm.of(tokenizer_for(name)) is None


@pytest.mark.daily(4)
@pytest.mark.parametrize("name", READ)
def test_what_a_template_writes_is_read_again(name):
    tokenizer = knowing(name)
    form = CallForm.of(tokenizer)

    @given(st.lists(a_call, min_size=1, max_size=3 if name in SEVERAL else 1, unique_by=lambda call: call.name))
    def law(calls):
        tools, text = list(map(tool_of, calls)), written(tokenizer, calls)
        assert form.read(text, tools) == Reading("", tuple(calls))
        end = form.end.split("<|")[0]
        cut = text[: text.rindex(end) + len(end)]  # without the token that ends it, which no answer holds
        assert form.read(f"I will look.\n{cut}", tools) == Reading("I will look.", tuple(calls))

    law()


@pytest.mark.daily(4)
@pytest.mark.parametrize("name", READ)
@given(text=st.text(max_size=60))
def test_what_calls_nothing_is_text(name, text):
    form = CallForm.of(knowing(name))
    for said in (text, form.begin + text, form.begin + "x" + form.middle + "{" + text):
        reading = form.read(said)
        assert reading.calls or reading.text == said.strip(), "nothing that was said is lost"
