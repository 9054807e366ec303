"""CONTRIBUTING.md holds what it says: its lines carried out, its floors, its targets of make."""

import re
import subprocess
import sys

import pytest

from tests import toys
from tests.test_house import FLOORS
from tests.toys import ROOT, promised, section


def test_every_line_has_its_toy_and_every_toy_its_line():
    tests = [name for name in vars(toys) if name.startswith("test_adding_")]
    done = [re.sub(r"^test_adding_an?_", "", name).replace("_", " ") for name in tests]
    assert sorted(done) == sorted(promised())


@pytest.mark.slow
def test_every_line_is_carried_out_with_its_toy(tmp_path):
    """In a process of its own: see toys.py."""
    quiet = ["-p", "no:cacheprovider", "--basetemp", str(tmp_path / "toys")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, toys.__file__], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{len(promised())} passed" in done.stdout


def test_the_floors_are_those_of_the_test():
    lines = re.findall(r"^\d+\. (.+)$", section("The floors"), re.MULTILINE)
    named = [re.findall(r"`([\w]+)`", line.partition(":")[0]) for line in lines]
    assert [sorted(rooms) for rooms in named] == [sorted(rooms) for rooms in FLOORS]


def test_every_target_of_make_is_explained():
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for line in re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE) for target in line.split()}
    assert set(re.findall(r"^\| `make ([\w-]+)` \|", section("Make"), re.MULTILINE)) == targets - {"help"}
