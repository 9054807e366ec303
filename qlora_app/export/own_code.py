"""A few definitions of this package as one file that imports nothing of it: they, and whatever they use."""

import ast
import copy
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base_models.families import FAMILIES
from ..choices import Choices
from ..methods import MethodChoices

PACKAGE = __package__.partition(".")[0]
# What needs much of the package where it stands, and a line or two here.
STAND_INS = Path(__file__).parent / "templates" / "stand_ins.txt"
STOOD_IN_FOR = {
    ("errors", "UserError"),
    ("errors", "Problem"),
    ("methods.parts.cpu_lora", "in_one_step"),
    ("methods.fitting", "check_fits"),
    ("methods.fitting", "check_saved"),
    ("storage.reading", "read_text"),
}
INSTANCES = ("method", "task", "objective")  # what those are called of whose classes a part is taken

Place = tuple[str, str]  # (module below the package, name in it; "" for the module itself)


class Module:
    """The top of one file: what is defined there, and where else its names are from."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.defined: dict[str, ast.stmt] = {}
        self.ours: dict[str, Place] = {}
        self.others: dict[str, str] = {}  # a name -> the line that imports it
        for node in ast.parse(_file(name).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                self.ours |= self.imported(node)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.others |= _lines(node)
            else:
                self.defined |= dict.fromkeys(_names_of(node), node)

    def imported(self, node: ast.ImportFrom) -> dict[str, Place]:
        """{name here: where it is defined} of a relative import."""
        inside = _file(self.name).name == "__init__.py"
        package = f"{PACKAGE}.{self.name}" if inside else f"{PACKAGE}.{self.name}".rpartition(".")[0]
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        below = source.removeprefix(PACKAGE).removeprefix(".")
        return {one.asname or one.name: _origin(below, one.name) for one in node.names}


@functools.cache
def _module(name: str) -> Module:
    return Module(name)


@functools.cache
def _stand_ins() -> dict[str, str]:
    nodes = ast.parse(STAND_INS.read_text(encoding="utf-8")).body
    return {name: ast.unparse(node) for node in nodes for name in _names_of(node)}


def _file(module: str) -> Path:
    place = Path(__file__).parents[1].joinpath(*filter(None, module.split(".")))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _origin(module: str, name: str) -> Place:
    """Where a name is defined that a package hands on."""
    inside = f"{module}.{name}".strip(".")
    if _file(inside).is_file():
        return inside, ""
    return _module(module).ours.get(name, (module, name))


def _lines(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """{name: the line that imports it alone}"""
    lines = {}
    for one in node.names:
        alone = copy.copy(node)
        alone.names = [one]
        lines[one.asname or one.name.partition(".")[0]] = ast.unparse(alone)
    return lines


def _names_of(node: ast.stmt) -> set[str]:
    """What a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and node.value:
        return {ast.unparse(node.target)}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}


class Code(str):
    """In a state: no text, but how something is made that may be asked for."""


@dataclass(frozen=True)
class Made:
    """An instance of a class of ours, of which only these members are taken along, with what they use."""

    kind: Place
    state: dict[str, Any]
    members: Sequence[str]

    @classmethod
    def of(cls, instance: Any, members: Sequence[str]) -> "Made":
        """Of a method or a task, with its settings."""
        kind = type(instance)
        place = kind.__module__.removeprefix(f"{PACKAGE}."), kind.__name__
        if not isinstance(instance, MethodChoices):
            return cls(place, dict(vars(instance)), members)
        asked = {"title": instance.title(), "model_dump": instance.model_dump()}
        answers = {name: Code(f"staticmethod(lambda: {value!r})") for name, value in asked.items()}
        return cls(place, dict(instance) | answers, members)


def own_code(about: str, names: Sequence[Place], made: dict[str, Made]) -> str:
    """A file of the functions and classes that are asked for by `names`, and of what is `made`, by its name there."""
    return f'"""{about}"""\n\n{_Taken(names, made).text()}'


@dataclass
class _Piece:
    """One definition, and what it needs."""

    text: str = ""
    needs: list[Place] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)


class _Taken:
    """What is taken along."""

    def __init__(self, names: Sequence[Place], made: dict[str, Made]) -> None:
        self.made = {name: one.kind[1] for name, one in made.items()}
        self.wanted = [*names, *(one.kind for one in made.values())]
        self.members = {member for one in made.values() for member in one.members}  # that anybody asks for
        self.state: dict[Place, dict[str, Any]] = {}  # of each class of which a part is taken: what its instance has
        for one in made.values():
            self.state |= {place: {} for place in _kinds(one.kind)} | {one.kind: one.state}

    def text(self) -> str:
        """What is used stands before what uses it. A member that is asked for may ask for others: until none does."""
        known = -1
        while known != len(self.members):
            known = len(self.members)
            pieces = self._pieces()
        imports = {line for piece in pieces for line in piece.imports}
        made = [f"{name} = {kind}()" for name, kind in self.made.items()]
        parts = list(dict.fromkeys(piece.text for piece in pieces))  # one statement may define several names
        parts = [_stand_ins()["Settings"], *parts] if self.state else parts
        return "\n".join(sorted(imports)) + "\n\n\n" + "\n\n\n".join([*parts, *made]) + "\n"

    def _pieces(self) -> list[_Piece]:
        done: list[_Piece] = []
        seen: dict[str, Place] = {}

        def take(place: Place) -> None:
            if seen.get(place[1]) == place:
                return
            if place[1] in seen:  # two things of one name: a test sees that none are taken together
                raise ValueError(seen[place[1]], place)
            seen[place[1]] = place
            piece = self._piece(place)
            for needed in piece.needs:
                take(needed)
            done.append(piece)

        for place in self.wanted:
            take(place)
        return done

    def _piece(self, place: Place) -> _Piece:
        if place == ("base_models.families", "names_in_use"):
            return _Piece(_names_in_use())
        if place in STOOD_IN_FOR:
            return _Piece(_stand_ins()[place[1]])
        module = _module(place[0])
        node = copy.deepcopy(module.defined[place[1]])
        if place in self.state and isinstance(node, ast.ClassDef):
            self._leave_out(node, self.state[place])
        alone = _Alone(module, node)
        self.members |= set(_asked(node, place in self.state))
        alone.piece.text = ast.unparse(ast.fix_missing_locations(alone.visit(node)))
        return alone.piece

    def _leave_out(self, node: ast.ClassDef, state: dict[str, Any]) -> None:
        """Members that nobody asks for; what the instance has is written down instead of being made."""
        has = {name: value for name, value in state.items() if name in self.members or not isinstance(value, Code)}
        written = ast.parse("\n".join(f"{name} = {_literal(value)}" for name, value in has.items())).body
        doc = [one for one in node.body[:1] if isinstance(one, ast.Expr)]
        members = self.members - state.keys()
        asked = [one for one in node.body if _names_of(one) & members]
        node.body = [*doc, *written, *asked] or [ast.Pass()]
        node.bases = [base for base in node.bases if ast.unparse(base) != Choices.__name__]
        node.decorator_list = []


class _Alone(ast.NodeTransformer):
    """A definition without annotations and without this package; notes what it uses."""

    def __init__(self, module: Module, node: ast.AST) -> None:
        self.module, self.piece = module, _Piece()
        self.known = dict(module.ours)
        for one in ast.walk(node):
            if isinstance(one, ast.ImportFrom) and one.level:
                self.known |= module.imported(one)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        return None if node.level else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Fields keep their annotations, which make them fields."""
        for one in node.body:
            if isinstance(one, ast.AnnAssign):
                one.annotation = ast.Constant(ast.unparse(one.annotation))
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if isinstance(node.annotation, ast.Constant):  # a field
            return self.generic_visit(node)
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        module, name = self.known.get(node.value.id, ("", "-")) if isinstance(node.value, ast.Name) else ("", "-")
        if name:
            return self.generic_visit(node)
        self.piece.needs.append(_origin(module, node.attr))  # `losses.dpo` is `dpo` there
        return ast.copy_location(ast.Name(node.attr, node.ctx), node)

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id in self.known:
            self.piece.needs.append(self.known[node.id])
        elif node.id in self.module.defined:
            self.piece.needs.append((self.module.name, node.id))
        elif node.id in self.module.others:
            self.piece.imports.add(self.module.others[node.id])
        return node


def _asked(node: ast.AST, is_of_them: bool) -> Iterator[str]:
    """Members of classes of which a part is taken that this asks for; `is_of_them`: it is in such a class itself."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute):
            asked = ast.unparse(one.value).rpartition(".")[2]
            if asked in INSTANCES or (is_of_them and asked in ("self", "cls", "super()")):
                yield one.attr


def _kinds(place: Place) -> Iterator[Place]:
    """A class of ours, and those of ours that it is made of."""
    module = _module(place[0])
    node = module.defined.get(place[1])
    if not isinstance(node, ast.ClassDef) or place[1] == Choices.__name__:
        return
    yield place
    for base in node.bases:
        name = ast.unparse(base)
        yield from _kinds(module.ours.get(name, (module.name, name)))


def _literal(value: Any) -> str:
    if isinstance(value, Code):
        return value
    if isinstance(value, Choices):
        inside = ", ".join(f"{name}={_literal(one)}" for name, one in value)
        return f"Settings({inside})"
    return repr(value)


def _names_in_use() -> str:
    """The table of families, as far as it says what layers are called."""
    every = [family.names for family in FAMILIES.values()]
    names = {role: _once(getattr(one, role) for one in every) for role in every[0].__dataclass_fields__}
    return f"NAMES = {names!r}\n\n\n{_stand_ins()['names_in_use']}"


def _once(names: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))
