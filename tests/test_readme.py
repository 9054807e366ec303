"""What the README and the manual in docs/ promise is there, and their figures are those of the code."""

import re
import subprocess
from pathlib import Path

import pytest

from qlora_app.cli.commands import PROGRAM, _parser
from qlora_app.evaluate import EVALUATORS
from qlora_app.methods import METHODS
from qlora_app.methods.claims import FAMILIES, table
from qlora_app.presets import Presets
from qlora_app.settings import PREFIX, Settings
from qlora_app.tasks import TASKS
from qlora_app.tasks import claims as tasks
from qlora_app.training_data.formats.known import READABLE
from qlora_app.ui.language import LANGUAGES
from tests.test_house import FLOOR, PACKAGE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
PROSE = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "DECISIONS.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "benchmarks" / "RESULTS.md",
    ROOT / "qlora_app" / "starter" / "base" / "README.md",
    *DOCS,
]
each_document = pytest.mark.parametrize("document", PROSE, ids=lambda path: str(path.relative_to(ROOT)))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(title: str, text: str = README) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


# ---- the README


def test_the_readme_is_read_in_a_few_minutes():
    words = README.split("---", 2)[2].split()
    assert 900 <= len(words) <= 1400


def test_the_first_screen_moves():
    shown = re.search(r"!\[.+\]\((docs/[\w-]+\.gif)\)", README.split("\n## ")[0])
    picture = (ROOT / shown[1]).read_bytes()
    assert picture[:6] == b"GIF89a" and len(picture) < 3_000_000
    assert picture.count(b"\x21\xf9\x04") > 30, "frames, each of which begins with these bytes"


def test_the_figures_of_what_it_can_do_are_those_of_the_code():
    stated = dict(re.findall(r"^\| \[([\w ]+)\]\([^)]+\)[^|]*\| (\d+) \|", section("What it can do"), re.MULTILINE))
    assert {name: int(figure) for name, figure in stated.items()} == {
        "Data formats": len(formats()),
        "Methods": len(METHODS),
        "Model families": len(FAMILIES),
        "Tasks": len(TASKS),
        "Presets": len(Presets().names()),
        "Measures": len(EVALUATORS),
        "Languages": len(LANGUAGES) + 1,  # English is the language of the code
    }


def test_the_figures_of_what_is_proven_are_those_of_the_model_card():
    card = (PACKAGE / "starter" / "base" / "README.md").read_text(encoding="utf-8")
    helper = card.split("<!-- scores of helper")[1].split("<!-- end of helper")[0]
    rows = re.findall(r"^\| ([\w -]+) \((\d+)\) .*\*\*([\d.]+)\*\* \|", helper, re.MULTILINE)
    means = {name: f"{mean} % of {count}" for name, count, mean in rows}
    proven = " ".join(section("What is proven").split())
    assert f"{means['held-out facts']} held-out facts" in proven
    assert f"{means['unseen wordings']} questions in wordings it never saw" in proven


def test_every_room_of_the_house_is_named_from_the_roof_down():
    named = re.findall(r"`(\w+)(?:\.py|/)`", section("Where things are"))
    assert sorted(named) == sorted(set(FLOOR) - {"__main__"})
    floors = [FLOOR[room] for room in named]
    assert floors == sorted(floors, reverse=True)


def test_the_front_matter_is_what_a_space_needs():
    front = README.split("---")[1]
    assert "sdk: gradio" in front and "app_file: app.py" in front
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
    assert f"sdk_version: {pinned}" in front and (ROOT / "app.py").exists()
    newest = max(
        re.findall(r'python_version >= "(3\.\d+)"', (ROOT / "requirements.txt").read_text()), key=lambda v: int(v[2:])
    )
    wanted = re.search(r'python_version: "(3\.\d+)"', front)[1]
    assert int(wanted[2:]) >= int(newest[2:]) and f"FROM python:{wanted}-slim" in (ROOT / "Dockerfile").read_text()
    assert len(re.search(r"short_description: (.+)", front)[1]) <= 60


# ---- the manual


def formats() -> list[str]:
    """The formats that are read, as the manual lists them; the one of links between rows is found in a whole file."""
    return [*READABLE, "oasst_links"]


def test_every_page_of_the_manual_is_linked_from_another():
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PROSE
        for link in re.findall(r"\]\(([^)]+\.md[^)]*)\)", path.read_text(encoding="utf-8"))
    }
    assert [path.name for path in DOCS if path.resolve() not in linked] == []


def test_the_table_of_settings_is_that_of_the_code():
    rows = [line for line in section("Settings", page("deploy.md")).splitlines() if line.startswith("| `")]
    expected = []
    for name, field in Settings.model_fields.items():
        default = f" `{field.default}` " if field.default is not None else " "
        expected.append(f"| `{PREFIX}{name.upper()}` |{default}| {field.description} |")
    assert rows == expected


def test_the_table_of_methods_is_that_of_the_code():
    first = page("methods.md").split("\n## ")[0]
    assert [line for line in first.splitlines() if line.startswith("| ")][1:] == table()


def test_the_families_are_those_of_the_code():
    assert f"{', '.join(FAMILIES.values())}." in " ".join(section("Families", page("models.md")).split())


def test_the_table_of_tasks_is_that_of_the_code():
    assert [line for line in page("tasks.md").splitlines() if line.startswith("| ")][1:] == tasks.table()


def test_every_format_is_listed():
    rows = [line for line in section("The formats", page("data.md")).splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(formats())


def test_every_preset_is_listed_and_every_listed_one_is_there():
    rows = [line for line in page("presets.md").splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(Presets().names())


def test_the_commands_of_the_command_line_are_all_shown():
    commands = set(_parser()._subparsers._group_actions[0].choices)
    assert set(re.findall(rf"{PROGRAM} (\w+)", page("command_line.md"))) == commands


@each_document
def test_every_command_that_is_shown_exists(document):
    text = document.read_text(encoding="utf-8")
    commands = set(_parser()._subparsers._group_actions[0].choices)
    assert set(re.findall(rf"{re.escape(PROGRAM)} ([a-z]\w*)", text)) <= commands
    named = {inline or line for inline, line in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.MULTILINE)}
    assert named <= targets()


# ---- all that is written


def targets() -> set[str]:
    """What make can be asked for."""
    lines = re.findall(r"^([\w -]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {target for line in lines for target in line.split()} - {"help"}


def test_make_alone_lists_all_it_can_be_asked_for():
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True).stdout
    assert set(re.findall(r"^make ([\w-]+)", listed, re.MULTILINE)) == targets()


@each_document
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    broken = []
    for link in links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_document
def test_no_path_of_somebody_s_machine(document):
    text = document.read_text(encoding="utf-8").replace("/tmp/site", "")  # of the bare machine in benchmarks/README.md
    assert re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt)/\S+", text) == []


def test_every_decision_has_its_day_and_stands_below_a_heading():
    before, *rooms = re.split(r"^## .+$", (ROOT / "DECISIONS.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "**" not in before
    for room in rooms:
        decisions = [paragraph for paragraph in room.strip().split("\n\n") if paragraph]
        undated = [one[:60] for one in decisions if not re.match(r"\*\*[^*]+\*\*\s\(20\d\d-\d\d-\d\d\)\s", one)]
        assert decisions and undated == []


def test_the_changelog_begins_with_what_is_unreleased_and_every_version_has_its_day():
    first, *versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first == "Unreleased"
    assert versions and all(re.fullmatch(r"\d+\.\d+\.\d+ · 20\d\d-\d\d-\d\d", version) for version in versions)
