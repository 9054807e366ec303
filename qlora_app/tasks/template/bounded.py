"""A chat template that ends: it is compiled with a clock in every loop and macro, and writes no more than fits.

What a template does with a few short turns is tried in a process of its own (`tasks.trial`); what it does with these
data only shows when it meets them.
"""

import ast
import threading
import time
from collections.abc import Callable
from typing import Any

SECONDS = 10.0  # of one conversation; those of published models take a thousandth
MOST_WRITTEN = 200_000_000  # characters
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
        if self.ticks % _TICKS == 0 and time.monotonic() > self.until:
            raise _too_much(f"it was not done after {SECONDS:.0f} seconds")


CLOCK = Clock()


def bounded(sandbox: Any, source: str) -> Callable[..., str]:
    """What renders a jinja2 template of this source in a sandboxed environment. It raises jinja2.TemplateError."""
    from jinja2 import Template

    environment = sandbox.overlay()
    environment.intercepted_binops = frozenset({"+", "*", "**"})
    environment.binop_table = {**environment.binop_table, "+": _added, "*": _times, "**": _power}
    environment.tick, environment.joined = CLOCK.tick, _joined
    tree = _WithClock().visit(ast.parse(environment.compile(source, raw=True)))
    code = compile(ast.fix_missing_locations(tree), "<template>", "exec")
    made = Template.from_code(environment, code, environment.make_globals(None))

    def render(**variables: Any) -> str:
        CLOCK.start()
        pieces: list[str] = []
        length = 0
        for piece in made.generate(**variables):
            pieces.append(piece)
            length += len(piece)
            _check_length(length)
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


def _tick() -> ast.stmt:
    return ast.parse("environment.tick()").body[0]


def _too_much(why: str) -> Exception:
    from jinja2 import TemplateRuntimeError

    error = TemplateRuntimeError(why)
    error.is_too_much = True  # type: ignore[attr-defined]  # and not that the template refuses a conversation
    return error


def _check_length(length: int) -> None:
    if length > MOST_WRITTEN:
        raise _too_much(f"it writes more than {MOST_WRITTEN:,} characters")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _added(left: Any, right: Any) -> Any:
    _check_length(_length(left) + _length(right))
    return left + right


def _times(left: Any, right: Any) -> Any:
    for text, count in ((left, right), (right, left)):
        if isinstance(count, int):
            _check_length(_length(text) * max(0, count))
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        _check_length(left.bit_length() * max(0, right))
    return left**right


def _joined(parts: Any) -> str:
    texts = [str(part) for part in parts]
    _check_length(sum(map(len, texts)))
    return "".join(texts)
