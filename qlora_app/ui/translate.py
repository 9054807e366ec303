"""The page in its visitor's language, in one place: what stands on it is translated in the browser, what handlers
answer here.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.context import LocalContext
from gradio.i18n import I18nData

from .language import (
    LANGUAGES,
    language_of,
    problem_in,
    spoken,
    translated,
)

STANDING = ("label", "info", "placeholder")
OPTIONS = (gr.Dropdown, gr.Radio)
BUTTONS = (gr.Button, gr.UploadButton, gr.DownloadButton)


def visitors_language() -> str:
    """Of whoever is being answered."""
    request = LocalContext.request.get(None)
    return language_of(request.headers.get("accept-language")) if request else "en"


def translate(text: str) -> str:
    """A text, or a problem, in the visitor's language."""
    return problem_in(text, visitors_language())


def said_to(request: Any, text: str) -> str:
    """A text, or a problem, in the language of whoever sent a request."""
    return problem_in(text, language_of(request.headers.get("accept-language")))


def in_every_language(demo: gr.Blocks) -> gr.I18n:
    """Marks what stands on a page for Gradio's translation and wraps its handlers; returns what `launch` takes as
    `i18n`.
    """
    standing: dict[str, Callable[[str, str], str]] = {}
    for component in demo.blocks.values():
        _mark(component, standing)
    for event in demo.fns.values():
        if event.fn:
            event.fn = _in_the_visitors_language(event.fn, event.outputs)
    return gr.I18n(**{name: {text: say(text, name) for text, say in standing.items()} for name in ("en", *LANGUAGES)})


def _mark(component: Any, standing: dict[str, Callable[[str, str], str]]) -> None:
    def marked(text: Any, say: Callable[[str, str], str]) -> Any:
        """The browser takes a `}` for the end of a mark; such a text is sent by a handler when the page is opened."""
        if not isinstance(text, str) or not text or "}" in text or all(say(text, name) == text for name in LANGUAGES):
            return text
        standing[text] = say
        return str(I18nData(text))

    for name in STANDING:
        if text := getattr(component, name, None):
            setattr(component, name, marked(text, spoken))
    if isinstance(component, (gr.HTML, *BUTTONS)):
        component.value = marked(component.value, translated if isinstance(component, gr.HTML) else spoken)
    if isinstance(component, OPTIONS):
        component.choices = [(marked(words, spoken), value) for words, value in component.choices]


def _in_the_visitors_language(handler: Callable, outputs: Sequence[Any]) -> Callable:
    @functools.wraps(handler)
    def once(*values: Any) -> Any:
        language = visitors_language()
        try:
            return _answer(handler(*values), outputs, language)
        except gr.Error as error:
            raise _error(error, language) from error

    @functools.wraps(handler)
    def stream(*values: Any) -> Iterator[Any]:
        language = visitors_language()
        try:
            for answer in handler(*values):
                yield _answer(answer, outputs, language)
        except gr.Error as error:
            raise _error(error, language) from error

    return stream if inspect.isgeneratorfunction(inspect.unwrap(handler)) else once


def _error(error: gr.Error, language: str) -> gr.Error:
    """What a toast says is drawn as HTML, so names and cells in it are escaped."""
    error.message = escape(problem_in(error.message, language), quote=False)
    error.title = escape(spoken(error.title, language), quote=False)
    return error


def _answer(answer: Any, outputs: Sequence[Any], language: str) -> Any:
    """What a handler answers, {output: value}, or the value of its only output: HTML and the words of options are ours,
    any other value is the person's.
    """
    if language not in LANGUAGES or not outputs:
        return answer
    if _is_by_output(answer):
        return {output: _value(value, output, language) for output, value in answer.items()}
    return _value(answer, outputs[0], language)


def _is_by_output(answer: Any) -> bool:
    return isinstance(answer, dict) and all(isinstance(output, Block) for output in answer)


def _value(value: Any, output: Any, language: str) -> Any:
    if isinstance(output, gr.HTML) and isinstance(value, str):
        return translated(value, language)
    if isinstance(value, dict) and value.get("__type__") == "update":
        if isinstance(output, gr.HTML) and "value" in value:
            return value | {"value": translated(value["value"], language)}
        if isinstance(output, OPTIONS) and "choices" in value:
            return value | {"choices": [(spoken(words, language), option) for words, option in value["choices"]]}
    return value
