"""The floors of the house. A module imports only from floors below its own, and heavy libraries stay where they
belong.
"""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qlora_app"
FLOORS = [  # lowest first
    ["errors"],
    ["choices", "messages", "settings", "formatting"],
    ["storage"],
    ["starter", "hub", "hardware"],  # the starter's and the Hub's paths are known to those above
    ["base_models", "training_data", "tasks", "methods"],
    ["recipe"],
    ["presets"],
    ["preflight", "memory"],
    ["overrides"],
    ["hardware_fit", "doctor", "runs"],
    ["inference", "effort"],
    ["answers"],
    ["evaluate"],
    ["launch", "train"],
    ["cli", "ui"],
    ["__main__"],
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets"}
# Programs of their own, and parts of models that only those who hold a model import; all others import inside
# functions.
MAY_BE_HEAVY = {
    "train/",
    "starter/pretrain.py",
    "starter/tokenizer.py",
    "methods/parts/",
    "base_models/cpu_layers.py",
    "tasks/apart.py",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path, everywhere: bool = True) -> list[list[str]]:
    """["qlora_app", "runs", "Run"] for each import of a file; without `everywhere` only those that run when it is
    imported.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["qlora_app", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(tree) if everywhere else _at_once(tree):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found += [
                [*base, *(node.module or "").split("."), alias.name] if node.module else [*base, alias.name]
                for alias in node.names
            ]
    return found


def _at_once(node: ast.AST):
    """The statements that run on import: not the bodies of functions, not what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        is_for_checkers = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not is_for_checkers and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _at_once(child)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def wrong_ways(files: list[Path]) -> list[str]:
    wrong = []
    for path in files:
        room = room_of(path)
        others = {module[1] for module in imported(path) if module[0] == "qlora_app" and len(module) > 1} - {room}
        wrong += [
            f"{path.relative_to(PACKAGE)} imports {other}, which is not below {room}"
            for other in sorted(others & set(FLOOR))
            if room in FLOOR and FLOOR[other] >= FLOOR[room]
        ]
    return wrong


def test_imports_go_down_only():
    assert wrong_ways(FILES) == []


def test_an_import_that_goes_up_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "recipe.py").write_text("def form():\n    from .ui import form\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "store.py").write_text("from .. import inference\nfrom ..errors import UserError\n")
    assert wrong_ways(sorted(tmp_path.rglob("*.py"))) == [
        "recipe.py imports ui, which is not below recipe",
        "runs/store.py imports inference, which is not below runs",
    ]


def test_every_room_has_a_floor_and_every_name_on_the_list_is_a_room():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == set(FLOOR)


def test_gradio_stays_upstairs():
    assert [str(p) for p in FILES if any(m[0] == "gradio" for m in imported(p)) and room_of(p) != "ui"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_when_they_are_needed(path):
    if str(path.relative_to(PACKAGE)).startswith(tuple(MAY_BE_HEAVY)):
        return
    heavy = HEAVY & {module[0] for module in imported(path, everywhere=False)}
    assert not heavy, (
        f"{path.name} imports {', '.join(heavy)} as soon as it is imported; do it inside the function that needs it"
    )


@pytest.mark.parametrize(
    "module",
    ["qlora_app.overrides", "qlora_app.runs", "qlora_app.inference.session", "qlora_app.launch.local", "qlora_app.cli"],
)
def test_all_but_the_worker_starts_quickly_and_without_torch(module):
    program = (
        f"import time; began = time.process_time(); import {module}, sys; "
        "print(time.process_time() - began, *{'torch', 'transformers', 'gradio', 'pandas', 'numpy'} & set(sys.modules))"
    )
    began = time.monotonic()
    seconds, *heavy = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()
    assert heavy == []
    assert float(seconds) < 1.0, "processor seconds; half of one on an idle machine"
    assert (
        time.monotonic() - began < 10
    )  # a busy machine may be slow, an import that waits for the network is slower still


def test_every_test_is_run_by_plain_pytest():
    tests = PACKAGE.parent / "tests"
    listed = re.search(r"testpaths = \[(.*?)\]", (PACKAGE.parent / "pyproject.toml").read_text())[1]
    folders = [tests.parent / path for path in re.findall(r'"(tests/\w+)"', listed)]
    run = {*tests.glob("test_*.py"), *(path for folder in folders for path in folder.rglob("test_*.py"))}
    assert set(tests.rglob("test_*.py")) == run


def test_no_file_is_much_longer_than_four_hundred_lines():
    assert {
        str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 560
    } == {}


def test_nothing_has_a_name_that_says_nothing():
    assert [
        str(p) for p in FILES if p.stem.rstrip("s") in {"util", "helper", "common", "core", "manager", "misc"}
    ] == []


def test_every_public_function_and_class_says_what_it_is_for():
    silent = []
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                not isinstance(node, ast.FunctionDef | ast.ClassDef)
                or node.name.startswith("_")
                or ast.get_docstring(node)
            ):
                continue
            if (
                len(ast.unparse(node).splitlines()) > 14 and node.name != "main"
            ):  # a few lines with a good name speak for themselves
                silent.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_signature_is_typed(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            names = [
                a.arg
                for a in node.args.args + node.args.kwonlyargs
                if a.annotation is None and a.arg not in ("self", "cls")
            ]
            assert not names and (node.returns or node.name == "__init__"), f"{node.name}({', '.join(names)})"
