"""The floors of the house. A module imports only from floors below its own, and heavy libraries stay where they
belong.
"""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qlora_app"
FLOORS = [  # lowest first
    ["errors", "endpoint", "space"],
    ["choices", "messages", "settings", "formatting", "chance", "log_format"],
    ["storage"],
    ["starter", "hub", "hardware"],  # the starter's and the Hub's paths are known to those above
    ["base_models", "usage", "accounts", "network"],
    ["training_data", "tasks", "methods", "reporting", "preferences", "place"],
    ["recipe"],
    ["presets", "start_from", "other_adapters"],
    ["preflight", "memory", "data_report", "differs"],
    ["overrides", "foreign", "fits"],
    ["hardware_fit", "doctor", "jobs", "speed"],
    ["runs", "measurement"],
    ["inference", "effort"],
    ["answers", "sweep", "sync", "planner"],
    ["evaluate", "export", "serving"],
    ["launch", "train", "kinds", "tidy"],
    ["worker", "away"],
    ["api", "cli", "ui"],
    ["__main__"],
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


@functools.cache
def imported(path: Path) -> list[list[str]]:
    """["qlora_app", "runs", "Run"] for each import of a file, those inside functions too."""
    package = ["qlora_app", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = node.module.split(".") if node.module else []
            found += [[*base, *module, alias.name] for alias in node.names]
    return found


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


def file_of(module: list[str]) -> Path | None:
    """The file of a module, or the one that a name is taken from."""
    for end in range(len(module), 1, -1):
        path = PACKAGE.joinpath(*module[1:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def circles(files: list[Path]) -> list[list[str]]:
    """Files that import each other, straight or through others: also inside functions, and for type checkers only."""
    below = {path: {file_of(module) for module in imported(path) if module[0] == "qlora_app"} for path in files}

    def reached_from(path: Path) -> set[Path]:
        reached: set[Path] = set()
        ahead = [path]
        while ahead:
            new = below[ahead.pop()] - reached - {None}
            reached |= new
            ahead += new
        return reached

    all_below = {path: reached_from(path) for path in files}
    found = {frozenset(other for other in all_below[path] if path in all_below[other]) for path in files}
    return sorted(sorted(str(path.relative_to(PACKAGE)) for path in one) for one in found if one)


def test_no_files_import_each_other():
    assert circles(FILES) == []


def test_files_that_import_each_other_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "__init__.py").write_text("from .tab import Tab\n")
    (tmp_path / "ui" / "tab.py").write_text("from . import picker\nfrom .words import say\n")
    (tmp_path / "ui" / "words.py").write_text("")
    (tmp_path / "ui" / "picker.py").write_text("if TYPE_CHECKING:\n    from .form import Form\n")
    (tmp_path / "ui" / "form.py").write_text("def tab():\n    from .tab import Tab\n")
    assert circles(sorted(tmp_path.rglob("*.py"))) == [["ui/form.py", "ui/picker.py", "ui/tab.py"]]


def test_every_room_has_a_floor_and_every_name_on_the_list_is_a_room():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == set(FLOOR)


def test_gradio_stays_upstairs():
    assert [str(p) for p in FILES if any(m[0] == "gradio" for m in imported(p)) and room_of(p) != "ui"] == []


@pytest.mark.parametrize(
    "module",
    ["qlora_app.overrides", "qlora_app.runs", "qlora_app.inference.session", "qlora_app.launch.local", "qlora_app.cli"],
)
def test_all_but_the_worker_import_no_heavy_library_and_wait_for_no_network(module):
    """How fast they are is measured by benchmarks/start.py; here is counted what makes them slow."""
    program = (
        "import sys; events = set(); sys.addaudithook(lambda event, _: events.add(event)); "
        f"import {module}; "
        "print(*{'torch', 'transformers', 'gradio', 'pandas', 'numpy'} & set(sys.modules), "
        "*(event for event in events if event.startswith(('socket.', 'subprocess.'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_no_file_is_much_longer_than_four_hundred_lines():
    assert {
        str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 420
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
