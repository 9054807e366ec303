"""Who may do what, in one place.

Every handler of the page carries one mark: who may call it. `reads` is for everyone, `changes` for those whose page it
is: it asks first whether this page may change anything. (Hiding a button protects nothing: Gradio runs the handler of a
hidden one for anybody.) A handler without a mark is the owner's: `only_marked` sees to that. Both turn a UserError into
a message on the page.

There is one page for all owners, one for all visitors, and one for each member, who is the owner of their own home;
what is shared with them is found by handlers that only read. Who is sent to which page is decided at the door
(`door/`), which also says what comes in at all.
"""

import contextlib
import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import gradio as gr

from ..errors import Problem, UserError
from ..runs.shared import changing
from ..settings import PREFIX
from ..storage.outside import confined
from .context import AppContext

DEMONSTRATION = Problem(
    "page.demonstration",
    "This is a demonstration: talk to the models and look at how they were made. Nothing can be trained, uploaded or "
    "deleted here; make your own copy for that.",
)
VISITING = Problem(
    "page.visiting",
    "You are visiting: look at what is shared, and talk to it. Whoever has an account logs in to train.",
)
OWNERS_HINT = (
    f"If this demonstration is yours, set {PREFIX}USER and {PREFIX}PASSWORD and log in."  # for the server's log
)
UNEXPECTED = Problem(
    "page.unexpected",
    "Something unexpected happened. What you typed is still here; the details are in the terminal of the app.",
)
NOT_TOLD = Problem("page.not_told", "That does not work here now. Why is told to the owner of this demonstration only.")
A_PLACE = re.compile(r"(?:^|[\s'\"(])(?:~|[A-Za-z]:)?[/\\][\w.-]+[/\\]")  # a path of this machine
WHY_NOT = "Training is switched off: this is a demonstration, open to everybody."

ABOUT = ("run", "runs", "job", "id", "name")  # what a script calls the thing that something is to be done to

Callers = Literal["everyone", "owner"]
log = logging.getLogger(__name__)


def reads(handler: Callable) -> Callable:
    """A handler that changes nothing. Everyone may call it."""
    return _marked(handler, "everyone")


def changes(handler: Callable) -> Callable:
    """A method that changes something, or tells what is only the owner's: it runs only where `self.page.may_change`."""
    return _marked(handler, "owner")


def changes_machine(handler: Callable) -> Callable:
    """As `changes`, for what concerns the whole machine: a member may not, whose page it is or not."""

    @functools.wraps(handler)
    def asked(self: Any, *values: Any) -> Any:
        check_owns_machine(self.page)
        return handler(self, *values)

    return changes(asked)


def check_owns_machine(page: Any) -> None:
    """Raises UserError for a member."""
    if not page.is_owners:
        raise UserError("member.owners_only", "Only the owner of this server may do that.")


def refusal_of(page: Any) -> Problem:
    """What those who may change nothing on a page are told."""
    return VISITING if getattr(page, "has_login", False) else DEMONSTRATION


def owner_reads(handler: Callable) -> Callable:
    """A method that changes nothing, and tells what is only the owner's."""
    return _marked(handler, "owner", is_noted=False)


def asked_by_everyone(function: Callable) -> Callable:
    """A function that the script of a component calls, whoever looks at it. It says itself what it tells to whom."""
    function.callers = "everyone"  # type: ignore[attr-defined]
    return function


def served(answer: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """A method as a plain function that everyone may call: the script of a component calls it by the method's name."""
    return _function_of(answer, "everyone")


def shared(answer: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The same for what many pages ask again and again: whoever asks alike, in the same language, within half a second
    gets the same answer.
    """
    function = served(answer)
    function.is_shared = True  # type: ignore[attr-defined]
    return function


def owners(answer: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The same for a method that changes something: visitors of a demonstration are not even served it."""
    return _function_of(answer, "owner", is_noted=True)


def told_owners(answer: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The same for a method that changes nothing, and tells what is only the owner's."""
    return _function_of(answer, "owner")


def _function_of(
    answer: Callable[[Any], dict[str, Any]], callers: Callers, is_noted: bool = False
) -> Callable[[Any], dict[str, Any]]:
    def function(asked: Any) -> dict[str, Any]:
        if is_noted:
            _note(answer.__self__, answer.__qualname__, asked)  # type: ignore[attr-defined]
        with _at_work(answer.__self__, is_noted):  # type: ignore[attr-defined]
            return answer(asked)

    function.__name__ = answer.__name__
    function.callers = callers  # type: ignore[attr-defined]
    return function


def callers_of(handler: Callable) -> Callers | None:
    """The mark of a handler; None where it has none."""
    return getattr(handler, "callers", None)


def only_marked(demo: gr.Blocks, may_change: bool) -> None:
    """Whatever of a built page has no mark is the owner's: handlers, and functions of components. A handler of the
    owner's refuses by itself; a function of a component that is the owner's is not there for visitors.
    """
    if may_change:
        return
    for event in demo.fns.values():
        if event.fn and callers_of(event.fn) is None:
            event.fn = _refusing
    for block in demo.blocks.values():
        for function in server_functions(block):
            if callers_of(getattr(block, function)) != "everyone":
                setattr(block, function, _not_served)


def server_functions(block: Any) -> list[str]:
    """The names under which Gradio calls functions of a component for anybody, its own included."""
    names = {*dir(type(block)), *vars(block)} - {"parent"}
    return [name for name in sorted(names) if getattr(getattr(block, name, None), "_is_server_fn", False)]


def _refusing(*_: Any) -> Any:
    raise _shown(UserError.of(DEMONSTRATION))


def _not_served(*_: Any) -> None:
    """Gradio answers that there is no such function."""


def _marked(handler: Callable, callers: Callers, is_noted: bool = True) -> Callable:
    """is_noted: does what it does stand in the file of who did what?"""
    does_change = is_noted and callers == "owner"

    def allow(owner: Any, *values: Any) -> None:
        if callers == "everyone":
            return
        if not owner.page.may_change:
            raise UserError.of(refusal_of(owner.page))
        if does_change:
            events = [one._data for one in values if isinstance(one, gr.EventData)]
            _note(owner, handler.__qualname__, *events)

    @functools.wraps(handler)
    def once(self: Any, *values: Any) -> Any:
        try:
            allow(self, *values)
            with _at_work(self, does_change):
                return _or_nothing(handler(self, *values))
        except Exception as error:  # the last place before the person: nothing may pass it but a sentence
            raise _shown(error, self.page.may_change) from error

    @functools.wraps(handler)
    def stream(self: Any, *values: Any) -> Iterator[Any]:
        try:
            allow(self, *values)
            answers = handler(self, *values)
            while True:
                with _at_work(self, does_change):  # each piece may be asked for in another thread
                    answer = next(answers, answers)
                if answer is answers:
                    return
                yield _or_nothing(answer)
        except Exception as error:  # as above
            raise _shown(error, self.page.may_change) from error

    wrapper = stream if inspect.isgeneratorfunction(handler) else once
    wrapper.callers = callers  # type: ignore[attr-defined]
    wrapper.changes = callers == "owner"  # type: ignore[attr-defined]
    return wrapper


@contextlib.contextmanager
def _at_work(owner: Any, does_change: bool) -> Iterator[None]:
    """Meanwhile no path is opened that is not theirs whose page it is, whatever named it."""
    page = getattr(owner, "page", None)
    with changing(does_change), confined(page.own if isinstance(page, AppContext) else None):
        yield


def _note(owner: Any, deed: str, *told: Any) -> None:
    """Into the log of who did what; of what somebody sent only which run or name it is about."""
    page = getattr(owner, "page", None)
    if isinstance(page, AppContext):
        about = [one[key] for one in told if isinstance(one, dict) for key in ABOUT if one.get(key)]
        page.audit.note(deed, *about[:1])


def _or_nothing(answer: Any) -> Any:
    """Gradio takes an empty dict for a value; a handler means by it that nothing changes."""
    return gr.skip() if answer == {} else answer


def names_a_place(text: str) -> bool:
    """Is a path of this machine in it?"""
    return A_PLACE.search(text) is not None


def in_words(error: BaseException, may_change: bool = True) -> Problem:
    """What the person is told. Anything but a UserError is a mistake in the app: its details go to the terminal, and so
    does what names a place of this machine to those who may change nothing.
    """
    if isinstance(error, UserError) and (may_change or not names_a_place(str(error.problem))):
        return error.problem
    if isinstance(error, UserError):
        log.warning("A visitor is not told: %s", error.problem)
        return NOT_TOLD
    log.error("A handler of the page failed", exc_info=error)
    return UNEXPECTED


def _shown(error: Exception, may_change: bool = True) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    return gr.Error(in_words(error, may_change), title="That did not work", print_exception=False)
