"""A chat template ends in a bounded time and size whatever it meets, and writes what it would have written."""

import time
from datetime import date

import jinja2
import pytest
from transformers.utils.chat_template_utils import _compile_jinja_template

from qlora_app import starter
from qlora_app.tasks.template import bounded
from qlora_app.tasks.template.patches import render_template

TURNS = [{"role": role, "content": f"{role}: öä 1"} for role in ("system", "user", "assistant", "user")]
ENDLESS = {
    "loops": "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "long": "{{ 'a' * 2000000000 }}",
    "doubled": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "added": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "only when asked": "{% if 'user' in messages[1].content %}{% for a in range(90000) %}{% for b in range(90000) %}"
    "{% endfor %}{% endfor %}{% endif %}",
    "recursive loop": "{% for a in [[]] recursive %}{{ loop([[], []]) }}{{ loop([[], []]) }}{% endfor %}",
}
SAME = (
    (starter.BASE / "chat_template.jinja").read_text(encoding="utf-8"),
    "{% for m in messages %}{{ loop.index ~ m.role + ': ' + m.content|trim }}{% if not loop.last %}, {% endif %}"
    "{% endfor %}{% macro t(x) %}<{{ x * 2 }}>{% endmacro %}{{ t('a') }}{{ 2 ** 3 + 4 * 5 }}{{ [1] + [2] }}",
    "{% for m in messages if m.role == 'user' %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
)


@pytest.mark.parametrize("name", ENDLESS)
def test_it_ends(name, monkeypatch):
    monkeypatch.setattr(bounded, "SECONDS", 0.3)
    monkeypatch.setattr(bounded, "MOST_WRITTEN", 1_000_000)
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
