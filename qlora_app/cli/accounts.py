"""The command for those who may log in."""

import argparse
import getpass
import json
import sys
from typing import Any

from rich.table import Table
from rich.text import Text

from ..accounts import ROLES, Accounts, members_in
from ..errors import UserError
from ..runs.on_hub_homes import KeptHomes
from ..settings import Settings
from .command import DONE, add_command, stdout


def add_accounts(commands: Any) -> None:
    parser = add_command(commands, "accounts", accounts_command)
    acts = ("list", "add", "role", "password", "remove")
    parser.add_argument("act", nargs="?", choices=acts, default="list", help="list where none")
    parser.add_argument("name", nargs="?", default="", help="what somebody logs in as")
    words = "add, role: owner does everything, member trains in a home of their own, visitor looks and chats"
    parser.add_argument("--role", choices=ROLES, default="member", help=f"{words}; member where none is given")
    again = "add: the same person had this name before, and gets the home of that name again"
    parser.add_argument("--with-home", action="store_true", help=again)


def accounts_command(given: argparse.Namespace, settings: Settings) -> int:
    """Who may log in: list them, add one, change a role or a password, remove one. A password is asked for."""
    settings.make_home()
    accounts = Accounts(settings)
    if given.act == "list":
        _list(accounts, given.json)
        return DONE
    is_first = not accounts.is_there and settings.login is None
    if given.act == "add":
        if not given.with_home and given.name not in accounts.all():
            _check_nobody_had(given.name, settings)
        accounts.add(given.name, given.role, _password())
    elif given.act == "role":
        accounts.change(given.name, role=given.role)
    elif given.act == "password":
        accounts.change(given.name, password=_password())
    else:
        accounts.remove(given.name)
    _say(given, is_first, bool(accounts.all() or settings.login))
    return DONE


def _check_nobody_had(name: str, settings: Settings) -> None:
    """Raises UserError where a home of that name is here or kept on the Hub: it is private, and may be of somebody else
    who had the name. So it does where the Hub cannot be asked.
    """
    where = ""
    if name in members_in(settings):
        where = "this home"
    elif settings.keep_runs and name in KeptHomes(settings).in_repository():
        where = settings.keep_runs
    if where:
        raise UserError(
            "accounts.home_from_before",
            "members/{name} is in {where} from before, with all that a {name} made. For somebody else take another "
            "name; for the same person add it with --with-home.",
            name=name,
            where=where,
        )


def _say(given: argparse.Namespace, is_first: bool, others: bool) -> None:
    if given.json:
        print(json.dumps({"act": given.act, "name": given.name}))
        return
    ends = "It takes effect at once; whoever is logged in so has to log in again."
    started = "A page that is open has no login yet: start it again."
    words = {
        "add": f"{given.name} may log in as {given.role}. {started if is_first else ''}".strip(),
        "role": f"{given.name} is {given.role} now. {ends}",
        "password": f"{given.name} has another password. {ends}",
        "remove": f"{given.name} may not log in any more; what a member made stays in members/{given.name}.",
    }
    print(words[given.act])
    if given.act == "remove" and not others:
        print("Nobody can log in now. Delete accounts.yaml for a page without a login.")


def _password() -> str:
    """Typed twice; a script sends it as a line. Never an argument, which others on this machine could read."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    typed = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != typed:
        raise UserError("accounts.not_the_same", "These are two passwords. Type the same one twice.")
    return typed


def _list(accounts: Accounts, as_json: bool) -> None:
    known = accounts.all()
    if as_json:
        for name, account in known.items():
            print(json.dumps({"name": name, "role": account.role}))
        return
    table = Table("name", "role", box=None)
    for name, account in known.items():
        table.add_row(Text(name), account.role)
    stdout().print(table if known else Text("There are no accounts. `accounts add NAME` makes one."))
