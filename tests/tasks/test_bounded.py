"""A chat template ends in a bounded time and size whatever it meets, and writes what it would have written."""

import contextlib
import time
from datetime import date

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import _compile_jinja_template

from qlora_app import starter
from qlora_app.tasks.template import bounded, growth
from qlora_app.tasks.template.patches import render_template
from tests.chat_templates import template_of

TURNS = [{"role": role, "content": f"{role}: öä 1"} for role in ("system", "user", "assistant", "user")]
GROWN = "{%% set n = namespace(x=%s) %%}{%% for i in range(60) %%}{%% set n.x = %s %%}{%% endfor %%}"
ENDLESS = {
    "loops": "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "long": "{{ 'a' * 2000000000 }}",
    "doubled": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "added": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "only when asked": "{% if 'user' in messages[1].content %}{% for a in range(90000) %}{% for b in range(90000) %}"
    "{% endfor %}{% endfor %}{% endif %}",
    "long list of itself": GROWN % ("[]", "[n.x, n.x]") + "{{ n.x }}",
    "joined list of itself": GROWN % ("[]", "[n.x, n.x]") + "{{ 'a' ~ n.x }}",
    "json of itself": GROWN % ("[]", "{'a': n.x, 'b': n.x}") + "{{ n.x|tojson }}",
    "compared": GROWN % ("[1]", "[n.x, n.x]") + "{{ n.x == [1] }}",
    "dict": GROWN % ("1", "dict(a=n.x, b=n.x)") + "{{ n.x|string }}",
    "replaced": GROWN % ("'ab'", "n.x.replace('b', 'bb')"),
    "replaced by a filter": GROWN % ("'ab'", "n.x|replace('b', 'bb')"),
    "replaced nothing": GROWN % ("'ab'", "n.x.replace('', n.x)"),
    "joined": GROWN % ("'ab'", "[n.x, n.x]|join"),
    "joined by itself": GROWN % ("'ab'", "n.x.join([n.x, n.x])"),
    "separated": "{{ ('a' * 900000).join(range(99999)|map('string')|list) }}",
    "squared": GROWN % ("9", "n.x * n.x"),
    "centred": "{{ 'a'.center(2000000000) }}",
    "centred by a filter": "{{ 'a'|center(2000000000) }}",
    "filled with noughts": "{{ 'a'.zfill(2000000000) }}",
    "tabs": "{{ '\t'.expandtabs(2000000000) }}",
    "indented": "{{ ('\n' * 900000)|indent(9000) }}",
    "formatted": "{{ '{:>2000000000}'.format('a') }}",
    "formatted by a number": "{{ '{:>{}}'.format('a', 2000000000) }}",
    "percent": "{{ '%2000000000d' % 1 }}",
    "percent by a number": "{{ '%*d' % (2000000000, 1) }}",
    "percent by a filter": "{{ '%2000000000d'|format(1) }}",
    "filled many times": "{{ ('{0}' * 99999).format('a' * 900000) }}",
    "sliced": "{{ [1]|slice(2000000000)|list }}",
    "batched": "{{ [1]|batch(2000000000, 0)|list }}",
    "json": "{{ [1]|tojson(indent=2000000000) }}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "wrapped": "{{ ('a ' * 400000)|wordwrap(1) }}",
    "percent by a filter and a number": "{{ '%s %*d'|format('a', 2000000000, 1) }}",
    "percent by a precision": "{{ '%.*f' % (2000000000, 1) }}",
    "percent many times": "{{ ('%(a)s' * 9000) % {'a': ['b' * 100000]} }}",
    "translated": "{{ ('a' * 190000).translate(''.maketrans({'a': 'b' * 100000})) }}",
    "divided": "{% set n = ('f' * 900000)|int(0, 16) // ('e' * 500000)|int(0, 16) %}{{ n }}",
    "encoded": "{{ ('é' * 400000).encode('punycode') }}",
    "sums": "{% for a in range(90000) %}{{ range(90000)|sum }}{% endfor %}",
    "recursive loop": "{% for a in [[]] recursive %}{{ loop([[], []]) }}{{ loop([[], []]) }}{% endfor %}",
}
SAME = (
    (starter.BASE / "chat_template.jinja").read_text(encoding="utf-8"),
    "{% for m in messages %}{{ loop.index ~ m.role + ': ' + m.content|trim }}{% if not loop.last %}, {% endif %}"
    "{% endfor %}{% macro t(x) %}<{{ x * 2 }}>{% endmacro %}{{ t('a') }}{{ 2 ** 3 + 4 * 5 }}{{ [1] + [2] }}",
    "{{ messages|tojson(indent=4) }}{{ messages|map(attribute='role')|join(', ') }}{{ 'a'.center(9) }}"
    "{{ [[1], (2, 3)] }}",
    "{{ '%s is %5d' % ('a', 7) }}{{ '{:>4}{}'.format(1, {'b': [2]}) }}{{ 'a\nb'|indent(2, true) }}"
    "{{ 'aXb'.split('X')[-1] }}",
    "{{ messages[0].content.replace('s', 'ss')|trim|upper }}{{ 7 % 3 }}{{ dict(a=1) }}{{ [3, 1]|sort }}"
    "{{ none }}{{ true }}",
    # numbers that are values, however large, are no counts
    "{{ 10001|tojson }}{{ 3000000|string ~ 123456789|int }}{{ {'year': 20261130, 'n': [10**12]}|tojson(indent=2) }}"
    "{{ '%s of 200000'|format(99999999) }}{{ '{} tokens of 1000000, {:>9,}'.format(70000, 12345678) }}"
    "{{ '%*d' % (5, 20000) }}{{ '%*d of %s'|format(5, 20000, 70000) }}{{ '100%% of %(n)d' % {'n': 99999} }}"
    "{{ 123456.789|round(1) }}{{ (7654321, 1)|max }}{{ none|default(7654321) }}{{ 7654321|abs }}",
    "{% for m in messages if m.role == 'user' %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
)


@pytest.mark.parametrize("name", ENDLESS)
def test_it_ends(name, monkeypatch):
    monkeypatch.setattr(bounded, "SECONDS", 0.3)
    monkeypatch.setattr(growth, "MOST_WRITTEN", 1_000_000)
    began = time.monotonic()
    with pytest.raises((jinja2.TemplateError, RecursionError)):
        render_template(ENDLESS[name], TURNS, date(2026, 1, 1))
    assert time.monotonic() - began < 60  # a busy machine is slow


@pytest.mark.parametrize("template", SAME)
def test_it_writes_the_same(template):
    plain = _compile_jinja_template(template)
    how = {"add_generation_prompt": True, "tools": None, "bos_token": "<s>", "eos_token": "</s>"}
    wanted = plain.render(messages=TURNS, documents=None, strftime_now=date(2026, 1, 1).strftime, **how)
    assert render_template(template, TURNS, date(2026, 1, 1), **how) == wanted


KEPT = {
    "variables": "".join(f"{{% set x{number} = 'a' * 900000 %}}" for number in range(40)),
    "copies of a list": "".join(f"{{% set x{number} = range(90000)|list %}}" for number in range(80)),
    "slices": "{% set x = 'a' * 900000 %}{% for i in range(90000) %}{% set y = x[1:] %}{% endfor %}",
    "blocks": "{% for i in range(90000) %}{% set x %}{{ 'a' * 900000 }}{% endset %}{% endfor %}",
    "macros": "{% macro m() %}{{ 'a' * 900000 }}{% endmacro %}{% for i in range(90000) %}{% set x = m() %}{% endfor %}",
}


@pytest.mark.parametrize("name", KEPT)
def test_all_that_it_makes_is_bounded_together(name, monkeypatch):
    monkeypatch.setattr(growth, "MOST_MADE", 30_000_000)
    with pytest.raises(jinja2.TemplateRuntimeError, match="30,000,000 bytes"):
        render_template(KEPT[name], TURNS, date(2026, 1, 1))


@pytest.mark.parametrize("name", ["qwen3", "llama31", "mistral_v03", "deepseek_v31"])
def test_a_long_conversation_with_many_tools_is_written(name):
    """Of 200 turns, 400,000 characters, 50 tools and calls with large numbers."""
    call = {
        "type": "function",
        "id": "call00000",
        "function": {"name": "f0", "arguments": {"n": 10**15, "x": [20_000]}},
    }
    answer = {"role": "assistant", "content": "b" * 2000}
    turns = [{"role": "user", "content": "a " * 1000}, answer] * 98
    turns += [turns[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    turns += [{"role": "tool", "content": "9" * 2000, "name": "f0", "tool_call_id": "call00000"}, answer]
    shape = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 10**18}}}
    tools = [
        {"type": "function", "function": {"name": f"f{n}", "description": "d" * 500, "parameters": shape}}
        for n in range(50)
    ]
    how = {"add_generation_prompt": True, "tools": tools, "bos_token": "<s>", "eos_token": "</s>"}
    wanted = _compile_jinja_template(template_of(name)).render(
        messages=turns, documents=None, strftime_now=date(2026, 1, 1).strftime, **how
    )
    assert render_template(template_of(name), turns, date(2026, 1, 1), **how) == wanted
    assert len(wanted) > 390_000


TEXTS = st.text("ab\n\t{}", max_size=12)
PADS = ("center", "ljust", "rjust", "zfill", "expandtabs")
FORMS = st.sampled_from(("{0}{0}{0}", "{:>40}", "{0:{1}}", "{}"))
CALLS = st.one_of(
    st.tuples(st.just("replace"), st.tuples(TEXTS, TEXTS, TEXTS)),
    st.tuples(st.sampled_from(PADS), st.tuples(TEXTS, st.integers(-9, 99))),
    st.tuples(st.just("join"), st.tuples(TEXTS, st.lists(TEXTS, max_size=12))),
    st.tuples(st.just("translate"), st.tuples(TEXTS, st.dictionaries(st.just(97), TEXTS, max_size=1))),
    st.tuples(st.just("format"), st.tuples(FORMS, TEXTS, st.just("<60"))),
)


@settings(max_examples=150, deadline=None)
@given(CALLS)
def test_what_a_method_is_let_do_is_never_longer_than_a_template_may_write(call):
    name, (text, *given) = call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "MOST_WRITTEN", 60)
        patch.setattr(growth, "WIDEST", 50)
        try:
            growth.check_call(name, text, given, {})
        except jinja2.TemplateRuntimeError:
            return
    with contextlib.suppress(IndexError, KeyError, ValueError):
        assert len(getattr(text, name)(*given)) <= 60 + sum(len(one) for one in [text, *given] if isinstance(one, str))
