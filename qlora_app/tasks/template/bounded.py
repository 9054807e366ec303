"""A chat template that ends: it is compiled with a clock in every loop and macro, and writes no more than fits.

What a template does with a few short turns is tried in a process of its own (`tasks.trial`); what it does with these
data only shows when it meets them.
"""

import ast
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from . import growth

SECONDS = 10.0  # of one conversation; those of published models take a thousandth
_TICKS = 2000  # between two looks at the clock


class Clock(threading.local):
    """Of this thread: how long the template that is being rendered may still take."""

    def __init__(self) -> None:
        self.until, self.ticks = 0.0, 0

    def start(self) -> None:
        self.until, self.ticks = time.monotonic() + SECONDS, 0

    def tick(self) -> None:
        """Raises jinja2.TemplateRuntimeError once the time is over."""
        self.ticks += 1
        if self.ticks % _TICKS == 0:
            self.look()

    def look(self) -> None:
        """The same, at once. No clock runs while a template is being compiled."""
        if self.until and time.monotonic() > self.until:
            raise growth.too_much(f"it was not done after {SECONDS:.0f} seconds")


CLOCK = Clock()


def bounded(sandbox: Any, source: str) -> Callable[..., str]:
    """What renders a jinja2 template of this source in a sandboxed environment. It raises jinja2.TemplateError."""
    from jinja2 import Template

    environment = sandbox.overlay()
    environment.intercepted_binops = frozenset({"+", "*", "**", "%"})
    ours = {"+": growth.added, "*": growth.times, "**": growth.power, "%": growth.filled}
    environment.binop_table = {**environment.binop_table, **ours}
    environment.filters = {name: _watched(name, one) for name, one in environment.filters.items()}
    environment.globals = {name: one for name, one in environment.globals.items() if name != "lipsum"}
    environment.finalize, environment.held = growth.held, growth.held
    environment.call = _watching(environment.call)
    environment.tick, environment.joined, environment.concat = CLOCK.tick, growth.joined, growth.concat
    tree = _WithClock().visit(ast.parse(environment.compile(source, raw=True)))
    code = compile(ast.fix_missing_locations(tree), "<template>", "exec")
    made = Template.from_code(environment, code, environment.make_globals(None))

    def render(**variables: Any) -> str:
        CLOCK.start()
        growth.MADE.bytes = 0
        pieces: list[str] = []
        length = 0
        for piece in made.generate(**variables):
            pieces.append(piece)
            length += len(piece)
            growth.check(length)
        return "".join(pieces)

    return render


class _WithClock(ast.NodeTransformer):
    """Has every loop and function of a template's program look at the clock."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        imports = [i for i, one in enumerate(node.body) if isinstance(one, ast.ImportFrom)]
        ours = ast.parse("str_join = markup_join = environment.joined").body
        node.body[imports[-1] + 1 : imports[-1] + 1] = ours
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, _tick())
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, _tick())
        return node

    def _held(self, node: Any) -> ast.AST:
        """What a template puts together may hold the same thing many times, and that the same again."""
        self.generic_visit(node)
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return node
        made = ast.parse("environment.held(0)", mode="eval").body
        made.args = [node]  # type: ignore[attr-defined]
        return made

    visit_List = visit_Dict = _held

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.slice, ast.Slice):  # a copy
            return self._held(node)
        self.generic_visit(node)
        return node


def _watching(call: Callable[..., Any]) -> Callable[..., Any]:
    """A sandbox's way to call what a template names, functions and methods."""

    def watched(context: Any, function: Any, *args: Any, **named: Any) -> Any:
        CLOCK.look()
        own = getattr(getattr(function, "__wrapped__", function), "__self__", None)  # the sandbox wraps str.format
        subject = own if isinstance(own, str) else None
        growth.check_call(getattr(function, "__name__", ""), subject, args, named)
        return growth.held(call(context, function, *args, **named))

    return watched


def _watched(name: str, filter: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter)  # also what Jinja wrote on it: whether it wants the context
    def watched(*args: Any, **named: Any) -> Any:
        CLOCK.look()
        given = args[1:] if hasattr(filter, "jinja_pass_arg") else args
        growth.check_call("%" if name == "format" else name, given[0], given[1:], named)
        return growth.held(filter(*args, **named))

    return watched


def _tick() -> ast.stmt:
    return ast.parse("environment.tick()").body[0]
