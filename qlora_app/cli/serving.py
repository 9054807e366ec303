"""The commands for programs: an OpenAI-compatible endpoint without a page, and the keys that programs show."""

import argparse
import json
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..inference.pool import ModelPool
from ..runs import RunStore
from ..serving import ApiKeys, Endpoint, Home, ServedModels
from ..settings import Settings
from .command import DONE, add_command, complete_runs, count, find_run, stdout

PORT = 8000


def add_serve(commands: Any) -> None:
    parser = add_command(commands, "serve", serve_command)
    words = "a run's name, the beginning of one, or `latest`; none for all that have saved something"
    complete_runs(parser.add_argument("runs", metavar="RUN", nargs="*", help=words))
    parser.add_argument(
        "--port", type=count, default=PORT, help=f"the port on this machine; {PORT} where none is given"
    )


def add_keys(commands: Any) -> None:
    parser = add_command(commands, "keys", keys_command)
    parser.add_argument("act", nargs="?", choices=("list", "make", "revoke"), default="list", help="list where none")
    parser.add_argument("name", nargs="?", default="", help="what a key is called, such as the program that shows it")
    words = "make: the most requests a minute; any number where none is given"
    parser.add_argument("--per-minute", type=count, default=0, help=words)


def serve_command(given: argparse.Namespace, settings: Settings) -> int:
    """Answer programs as OpenAI's interface does, without a page; to other machines only where there is a key."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    settings.make_home()
    store, keys = RunStore(settings.runs), ApiKeys(settings.home)
    if not settings.is_local and not keys.are_asked_for:
        raise UserError(
            "serve.no_key", "{host} can be reached by others: `keys make NAME` makes a key first.", host=settings.host
        )
    only = tuple(find_run(name, settings, with_adapter=True).id for name in given.runs)
    pool = ModelPool()
    served = ServedModels(store, pool, only)
    for id in only:
        pool.load(store.get(id))
    app = Starlette(routes=[Mount("/v1", Endpoint(Home(served, keys), settings.is_local).app())])
    url = f"http://{settings.host}:{given.port}/v1"
    if given.json:
        print(json.dumps({"url": url, "models": [row["id"] for row in served.rows()]}), flush=True)
    else:
        _say(url, served, keys)
    uvicorn.run(app, host=settings.host, port=given.port, log_level="warning", timeout_graceful_shutdown=2)
    return DONE


def _say(url: str, served: ServedModels, keys: ApiKeys) -> None:
    out = stdout()
    out.print(Text(f"{url}  (Ctrl-C ends it)"), soft_wrap=True)
    for row in served.rows()[:20]:
        out.print(Text(f"  {row['id']}"), soft_wrap=True)
    if not keys.are_asked_for:
        out.print("It listens to this machine alone, and asks for no key as long as none has been made.")


def keys_command(given: argparse.Namespace, settings: Settings) -> int:
    """The keys that programs show to the endpoint: list them, make one (it is shown this once), revoke one."""
    settings.make_home()
    keys = ApiKeys(settings.home)
    if given.act == "make":
        key = keys.make(given.name, given.per_minute)
        print(json.dumps({"name": given.name, "key": key}) if given.json else key)
    elif given.act == "revoke":
        keys.revoke(given.name)
        print(json.dumps({"revoked": given.name}) if given.json else f"{given.name} opens nothing any more.")
    elif given.json:
        for one in keys.all():
            row = {"name": one.name, "begins": one.begins, "made": one.made, "per_minute": one.per_minute}
            print(json.dumps(row))
    else:
        _list(keys)
    return DONE


def _list(keys: ApiKeys) -> None:
    table = Table("name", "begins with", "made", "a minute", box=None)
    for one in keys.all():
        made = datetime.fromtimestamp(one.made).strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(one.name), one.begins, made, str(one.per_minute or "any number"))
    stdout().print(table if keys.all() else Text("No key has been made. `keys make NAME` makes one."))
