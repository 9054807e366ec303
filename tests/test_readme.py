"""What the README says is there is there, and what is there it says."""

import re
import subprocess
from pathlib import Path

import pytest

from qlora_app.cli.commands import PROGRAM, _parser
from qlora_app.methods.claims import FAMILIES, table
from qlora_app.presets import Presets
from qlora_app.settings import PREFIX, Settings
from qlora_app.tasks import claims as tasks
from qlora_app.training_data.formats.known import READABLE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = ["README.md", "CHANGELOG.md", "DECISIONS.md", "benchmarks/RESULTS.md", "qlora_app/starter/base/README.md"]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_file_has_one_line_and_every_line_a_file():
    listed = re.findall(r"^\| `([^`]+\.\w+)` \| \S", section("How it is built"), re.MULTILINE)
    code = {"py", "js", "css", "yaml"}
    there = ["app.py", *(str(p.relative_to(ROOT)) for p in (ROOT / "qlora_app").rglob("*") if p.suffix[1:] in code)]
    assert sorted(listed) == sorted(there)


def test_the_table_of_settings_is_that_of_the_code():
    rows = [line for line in section("Settings").splitlines() if line.startswith("| `")]
    expected = []
    for name, field in Settings.model_fields.items():
        default = f" `{field.default}` " if field.default is not None else " "
        expected.append(f"| `{PREFIX}{name.upper()}` |{default}| {field.description} |")
    assert rows == expected


def test_the_table_of_methods_is_that_of_the_code():
    assert [line for line in section("Methods").splitlines() if line.startswith("| ")][1:] == table()
    assert f"Families: {', '.join(FAMILIES.values())}," in " ".join(section("Methods").split())


def test_the_table_of_tasks_is_that_of_the_code():
    assert [line for line in section("Tasks").splitlines() if line.startswith("| ")][1:] == tasks.table()


def test_every_format_is_listed():
    named = re.findall(
        r"`(\w+)`", "".join(line.split("|")[1] for line in section("Your data").splitlines() if line.startswith("| `"))
    )
    assert sorted(named) == sorted([*READABLE, "oasst_links"])
    assert f" {len(named)} formats are recognised" in README


@pytest.mark.parametrize("document", PROSE)
def test_links_lead_somewhere(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (path.parent / link.partition("#")[0]).exists()]
    assert broken == []


@pytest.mark.parametrize("document", PROSE)
def test_no_path_of_somebody_s_machine(document):
    assert (
        re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt)/\S+", (ROOT / document).read_text(encoding="utf-8"))
        == []
    )


def test_the_commands_of_make_exist():
    lines = re.findall(r"^([\w ]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for line in lines for target in line.split()} - {"help"}
    assert set(re.findall(r"make (\w+)", README)) == targets
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True).stdout
    assert set(re.findall(r"make (\w+)", listed)) == targets


def test_the_commands_of_the_command_line_exist():
    commands = set(_parser()._subparsers._group_actions[0].choices)
    assert set(re.findall(rf"{PROGRAM} (\w+)", section("On the command line"))) == commands


def test_the_presets_are_named():
    assert all(f"`{name}`" in section("On the command line") for name in Presets().names())


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
