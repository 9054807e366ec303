"""Every error that the package can raise, as it stands in the code.

`python -m tests.error_codes` lists those that a language has no translation of; they are shown in English. With
`--write` it keeps every sentence in data/error_texts.yaml, after one was added or changed on purpose.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qlora_app"
TEXTS = Path(__file__).parent / "data" / "error_texts.yaml"
CODE = re.compile(r"[a-z]+\.[a-z0-9_]+")
ALSO_GIVEN = {"self._refusal": {"name"}, "NotTrainable": {"rows"}, "AskColumns": {"rows"}}  # by what makes the error


@dataclass(frozen=True)
class Error:
    """One place that makes an error: its code, its English template, and the names of the values given there."""

    code: str
    template: str
    values: frozenset[str]
    where: str  # file:line
    texts: tuple[ast.AST, ...]  # the constants of code and template


def errors_of(tree: ast.AST, where: str = "") -> Iterator[Error]:
    """Every call in a file that is given a code and, right behind it, a template."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _error(node, where)


def _error(call: ast.Call, where: str) -> Iterator[Error]:
    for code, template in zip(call.args, call.args[1:], strict=False):
        if _is_code(code) and _is_template(template):
            given = {keyword.arg for keyword in call.keywords if keyword.arg}
            values = frozenset(given | ALSO_GIVEN.get(ast.unparse(call.func), set()))
            yield Error(code.value, template.value, values, f"{where}:{call.lineno}", (code, template))


def _is_code(node: ast.AST) -> bool:
    return _is_text(node) and bool(CODE.fullmatch(node.value))


def _is_template(node: ast.AST) -> bool:
    return _is_text(node) and bool(re.search(r"[ {]", node.value))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@cache
def every_error() -> list[Error]:
    """Of the whole package, and of what starts it."""
    return [
        error
        for path in [*sorted(PACKAGE.rglob("*.py")), ROOT / "app.py"]
        for error in errors_of(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(ROOT)))
    ]


def texts() -> dict[str, str]:
    """{code: English template}, by the codes."""
    return {error.code: error.template for error in sorted(every_error(), key=lambda error: error.code)}


def main(arguments: list[str]) -> None:
    """Say what is not translated. Nothing fails for it."""
    codes = texts()
    if "--write" in arguments:
        TEXTS.write_text(yaml.safe_dump(codes, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")
    for file in sorted((PACKAGE / "ui" / "languages").glob("*.yaml")):
        translated = yaml.safe_load(file.read_text(encoding="utf-8"))["errors"]
        if missing := sorted(set(codes) - set(translated)):
            print(f"{file.name} has no translation of {len(missing)} errors: {', '.join(missing)}")


if __name__ == "__main__":
    main(sys.argv[1:])
