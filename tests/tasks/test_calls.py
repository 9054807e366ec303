"""Calls of tools are read as the chat templates of the families write them."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlora_app.tasks.template import ChatTemplate
from qlora_app.tasks.template.calls import Call, CallForm, Reading
from tests.chat_templates import KINDS, tokenizer_for

NOT_JSON = {"glm45", "glm4"}  # write arguments as XML, and on a line of their own that is not learned
KNOWING = [name for name in KINDS if ChatTemplate.of(tokenizer_for(name)).traits.knows_tools]
READ = [name for name in KNOWING if name not in NOT_JSON]
SEVERAL = [name for name in READ if CallForm.of(tokenizer_for(name)).between]

names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
a_call = st.builds(Call, names, st.dictionaries(names, values, max_size=3))


def written(tokenizer, calls):
    """What a model has to write, up to the token that ends it."""
    tools = [{"type": "function", "function": {"name": call.name, "parameters": {}}} for call in calls]
    conversation = [
        {"role": "user", "content": "question", "tools": json.dumps(tools)},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([call._asdict() for call in calls])},
    ]
    made = ChatTemplate.of(tokenizer).place(conversation)
    return made.text[made.answers[-1].start : made.answers[-1].end].rpartition("</think>")[2]


def test_most_templates_with_tools_are_read():
    assert len(READ) >= 10 and len(SEVERAL) >= 8
    for name in NOT_JSON:
        assert CallForm.of(tokenizer_for(name)) is None


@pytest.mark.daily(4)
@pytest.mark.parametrize("name", READ)
def test_what_a_template_writes_is_read_again(name):
    tokenizer = tokenizer_for(name)
    form = CallForm.of(tokenizer)

    @given(st.lists(a_call, min_size=1, max_size=3 if name in SEVERAL else 1))
    def law(calls):
        text = written(tokenizer, calls)
        assert form.read(text) == Reading("", tuple(calls))
        end = form.end.split("<|")[0]
        cut = text[: text.rindex(end) + len(end)]  # without the token that ends it, which no answer holds
        assert form.read(f"I will look.\n{cut}") == Reading("I will look.", tuple(calls))

    law()


@pytest.mark.daily(4)
@pytest.mark.parametrize("name", READ)
@given(text=st.text(max_size=60))
def test_what_calls_nothing_is_text(name, text):
    form = CallForm.of(tokenizer_for(name))
    for said in (text, form.begin + text, form.begin + "x" + form.middle + "{" + text):
        reading = form.read(said)
        assert reading.calls or reading.text == said.strip(), "nothing that was said is lost"
