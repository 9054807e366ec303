"""A conversation in a terminal, its commands, and what is asked through a pipe."""

import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from qlora_app.cli.chatting import COMMANDS, Talk, Terminal, markdown
from qlora_app.inference.pool import ModelPool
from qlora_app.runs import RunStore
from tests.conftest import wait_for
from tests.fixtures.damages import OLD
from tests.refusing import refused

QUESTION, ANSWER = "Where does Mira live?", "Mira lives in the green house on Orchard Lane."


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = RunStore(tmp_path_factory.mktemp("chatting") / "runs")
    for id in ("finished", "other"):
        shutil.copytree(OLD / "finished", store.root / id)
    return store


@pytest.fixture(scope="module")
def pool():
    return ModelPool()


@pytest.fixture
def talk(store, pool):
    return Talk(store.get("finished"), [], store, pool, Console(quiet=True))


def said(talk, question=QUESTION):
    return list(map(str, list(talk.ask(question, threading.Event()))[-1]))


def test_others_answer_beside_it(talk):
    talk.add("base")
    talk.add("other@24")
    mine, base, other = said(talk)
    assert mine == other == ANSWER != base
    assert [len(column.turns) for column in talk.columns] == [2, 2, 2]
    talk.alone()
    assert said(talk, "And her job?") and len(talk.columns[0].turns) == 4
    assert talk.undo() == "And her job?" and len(talk.columns[0].turns) == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [("nobody", "run.none_begins"), ("other@x", "chat.no_step"), ("other@7", "run.no_such_checkpoint")],
)
def test_who_cannot_answer_is_refused(talk, name, code):
    with refused(code):
        talk.add(name)
    assert len(talk.columns) == 1


def test_settings_change_the_answers_and_are_checked(talk):
    talk.set("max_new_tokens", "3")
    assert ANSWER.startswith(said(talk)[0])
    for name, value, code in (("temperature", "9", "chat.decoding"), ("heat", "1", "chat.no_setting")):
        with refused(code):
            talk.set(name, value)
    talk.set("seed", "none")
    assert talk.decoding.seed is None and talk.decoding.max_new_tokens == 3


def test_a_conversation_becomes_rows_that_a_training_takes(talk, tmp_path):
    talk.add("base")
    talk.system = "Be brief."
    said(talk)
    file = tmp_path / "mine.jsonl"
    assert talk.save(file) == 2
    rows = [json.loads(line)["messages"] for line in file.read_text("utf-8").splitlines()]
    assert [[turn["role"] for turn in row] for row in rows] == [["system", "user", "assistant"]] * 2
    with refused("chat.not_saved"):
        talk.save(tmp_path / "no folder" / "mine.jsonl")


def test_through_a_pipe_lines_are_questions_or_commands(store, pool, tmp_path, monkeypatch, capsys):
    lines = [
        QUESTION,
        "/retry",
        "/nothing",
        "//help",
        "/set max_new_tokens 2",
        "/set heat 1",
        QUESTION,
        "/exit",
        QUESTION,
    ]
    given = iter(lines)
    monkeypatch.setattr("builtins.input", lambda _: next(given))
    monkeypatch.setattr(sys, "stdin", open(os.devnull))
    talk = Talk(store.get("finished"), [], store, pool, Console(stderr=True))
    Terminal(talk, Console(width=200), False, tmp_path).run()
    printed = capsys.readouterr()
    assert printed.out.count(ANSWER) == 2 and list(given) == [QUESTION]
    assert "> /nothing" in printed.out and "> /help" in printed.out, "what is no command is a question"
    assert "heat" in printed.err and not (tmp_path / "chat_history").exists()


@pytest.mark.parametrize(
    ("text", "is_markdown"),
    [
        ("**Mira** bakes:\n\n- bread\n- cake", True),
        ("<script>x</script>", False),
        (r"\(a_1\)", False),
        ("2*3*4", False),
    ],
)
def test_markdown_is_drawn_where_nothing_is_lost(text, is_markdown):
    assert isinstance(markdown(text), Markdown if is_markdown else Text)


def test_every_command_says_what_it_does():
    assert all(command.__doc__ for command in COMMANDS.values())


@pytest.mark.slow
def test_on_a_terminal(store):
    """Typed keys, commands, the history of an earlier day."""
    home = store.root.parent
    (home / "chat_history").write_text(f"{QUESTION}\n")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "qlora_app", "chat", "finished"]
    env = os.environ | {"QLORA_APP_HOME": str(home), "TERM": "xterm", "COLUMNS": "120"}
    root = Path(__file__).parent.parent
    program = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=root, close_fds=True)
    os.close(theirs)
    seen = []

    def read():
        try:
            while piece := os.read(ours, 4096):
                seen.append(piece)
        except OSError:  # the other end is closed
            return

    threading.Thread(target=read, daemon=True).start()
    shown = lambda text: lambda: text.encode() in b"".join(seen)  # noqa: E731
    try:
        wait_for(shown("/help tells"))
        os.write(ours, b"\x1b[A\r")  # the arrow brings back what was asked
        wait_for(shown("green house on Orchard Lane"))
        os.write(ours, b"/nothing\r")
        wait_for(shown("There is no /nothing"))
        os.write(ours, b"/exit\r")
        assert program.wait(60) == 0
    finally:
        program.kill()
    assert "/nothing" in (home / "chat_history").read_text()
