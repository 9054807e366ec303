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
