"""What the environment makes of an installation: here, in a container, on a Space."""

import fcntl
import os

import pytest

from qlora_app import space
from qlora_app.settings import Settings
from qlora_app.space import keeps_runs, persistent_storage
from tests.refusing import refused

SPACE = {"SPACE_ID": "ada/workshop", "SPACE_HOST": "ada-workshop.hf.space"}
LOGIN = {"QLORA_APP_USER": "ada", "QLORA_APP_PASSWORD": "correct horse"}


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setattr(space, "STORAGE", tmp_path / "data")
    return tmp_path / "data"


def test_at_home_nothing_is_open_and_everything_allowed(storage):
    storage.mkdir()
    settings = Settings.from_environment({})
    assert settings.is_local and not settings.is_demonstration and settings.login is None
    assert settings.home.name == "qlora_app" and persistent_storage({}) is None


@pytest.mark.parametrize(
    ("environment", "demonstration"),
    [
        ({"QLORA_APP_HOST": "0.0.0.0"}, True),
        ({"QLORA_APP_HOST": "192.168.1.7"}, True),
        ({"QLORA_APP_HOST": "localhost"}, False),
        ({"QLORA_APP_HOST": "0.0.0.0"} | LOGIN, False),
        (SPACE, True),
        (SPACE | {"QLORA_APP_HOST": "127.0.0.1"}, True),
        (SPACE | LOGIN, False),
    ],
)
def test_open_to_others_without_a_login_is_a_demonstration(storage, environment, demonstration):
    assert Settings.from_environment(environment).is_demonstration == demonstration


@pytest.mark.parametrize("half", LOGIN)
def test_half_a_login_is_a_mistake(half):
    missing = next(name for name in LOGIN if name != half)
    with refused("settings.wrong", f"{missing} is not set") as caught:
        Settings.from_environment({half: LOGIN[half]})
    assert LOGIN[half] not in str(caught.value)


def test_a_space_keeps_its_runs_on_its_storage_if_it_has_one(storage):
    assert Settings.from_environment(SPACE).home.name == "qlora_app"
    storage.mkdir()
    assert Settings.from_environment(SPACE).home == storage and persistent_storage(SPACE) == storage
    assert Settings.from_environment(SPACE | {"QLORA_APP_HOME": "/elsewhere"}).home.name == "elsewhere"
    assert list(storage.iterdir()) == []


def test_a_drive_without_locks_keeps_no_runs(storage, monkeypatch):
    """Some mounted drives grant every lock; a run's proof of life would mean nothing there."""
    storage.mkdir()
    assert keeps_runs(storage)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert not keeps_runs(storage) and persistent_storage(SPACE) is None


def test_a_folder_that_cannot_be_written_to_keeps_no_runs(storage, monkeypatch):
    assert not keeps_runs(storage)
    if os.getuid():  # nothing is forbidden to root
        storage.mkdir(mode=0o500)
        assert not keeps_runs(storage)


def test_a_home_is_made_or_the_reason_said(tmp_path, monkeypatch):
    Settings(home=tmp_path / "new" / "home").make_home()
    assert (tmp_path / "new" / "home").is_dir()
    (tmp_path / "file").touch()
    with refused("settings.home_not_made", "QLORA_APP_"):
        Settings(home=tmp_path / "file" / "home").make_home()
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with refused("settings.home_not_writable", "QLORA_APP_"):
        Settings(home=tmp_path / "new").make_home()
