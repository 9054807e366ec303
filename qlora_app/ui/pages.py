"""A page for each person: an app of Gradio's, made when they first come, beside the one that the server begins with.

Nothing of one page is in another: its handlers know one home, its queue the questions of one person, and its files lie
in a folder of their own. What is common to all is the machine: the models that answer, and the queue of what trains.
"""

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.context import Context
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from ..accounts import Person
from ..runs import RunStore
from ..serving import ApiKeys, Home, Limits, ServedModels
from ..storage.outside import confined
from .arena import Arenas
from .build import build
from .context import AppContext
from .door.bodies import upload_mb
from .door.looks import Looks
from .quota import Quota
from .theme import STYLE, THEME
from .translate import in_every_language

MOST = 60  # pages of members kept at once; each takes about 7 MB
FOLDER = "people"  # of Gradio's folder of uploads; in it one for each page

log = logging.getLogger(__name__)
_building = threading.Lock()


@contextlib.contextmanager
def numbered_from_one() -> Iterator[None]:
    """Gradio numbers components through all pages of a process. An open page finds its own again after a restart only
    where they are numbered as before, whoever came first.
    """
    with _building:
        before, Context.id = Context.id, 0
        try:
            yield
        finally:
            Context.id = max(before, Context.id)


def how_shown(demo: gr.Blocks, max_upload_mb: int) -> dict[str, Any]:
    """What Gradio is told of every page: its dress, and what of Gradio's own it goes without."""
    return {
        "theme": THEME,
        "css": STYLE,
        "footer_links": [],
        "i18n": in_every_language(demo),
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "max_file_size": f"{max_upload_mb}mb",
    }


class PersonsPage:
    """One that runs."""

    def __init__(self, demo: gr.Blocks, app: FastAPI, own: list[Path] | None) -> None:
        """own: the folders in which lies what it may open by a path."""
        self.demo, self.app, self._own = demo, app, own
        self.open = 0  # requests that are being answered, streams among them
        self._life: Any = None

    async def answer(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        """A request. What it is told of the app that answers does not reach the door, which asks the server's own."""
        with confined(self._own):
            await self.app(dict(scope), receive, send)

    async def begin(self) -> None:
        self._life = self.app.router.lifespan_context(self.app)
        with confined(self._own):  # its queue, too
            await self._life.__aenter__()

    async def end(self) -> None:
        """Its uploads go; what was made in its home stays."""
        self.demo._queue.close()
        with contextlib.suppress(Exception):  # of Gradio's clearing up: there is nobody left to tell
            await self._life.__aexit__(None, None, None)


class Pages:
    """Finds the page of a person, or makes it."""

    def __init__(
        self,
        page: AppContext,
        routes: Callable[[AppContext], list[Any]],
        joins: Callable[[gr.Blocks, Callable[[], int] | None], None],
        asked_by: Callable[[gr.Blocks], int] = lambda _: 0,
        is_member: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """page: the one that the server began with. routes: those that a page has beside Gradio's. joins: told of each
        page that is made, and how many questions it may have for models at once; counts them with those of the others.
        asked_by: how many questions of a page are answered or wait. is_member: whose keys and links open something now.
        """
        self.page, self._routes, self._joins = page, routes, joins
        self._pages: OrderedDict[str, PersonsPage] = OrderedDict()
        self._contexts: dict[str, AppContext] = {}  # of members
        self._making: dict[str, asyncio.Lock] = {}
        self._asked_by, self._is_member = asked_by, is_member
        self._arenas: dict[str, Arenas] = {}
        self._homes: dict[str, Home] = {}  # of members, for the programs that show a key of theirs

    @contextlib.asynccontextmanager
    async def living(self, _: Any) -> AsyncIterator[None]:
        """As long as the server: then all end."""
        yield
        while self._pages:
            await self._pages.popitem()[1].end()

    async def of(self, person: Person) -> PersonsPage:
        """It is counted as open: whoever uses it takes that back."""
        lock = self._making.setdefault(person.home, asyncio.Lock())
        async with lock:
            found = self._pages.get(person.home)
            if found is None:
                found = await asyncio.to_thread(self._make, person)
                await found.begin()
                self._joins(found.demo, partial(self._room_on_page, person.name) if person.role == "member" else None)
                self._pages[person.home] = found
            found.open += 1
        self._pages.move_to_end(person.home)
        await self._forget_idle(but=person.home)
        return found

    def look_after(self, name: str) -> None:
        """What a member's home holds that waits or goes on is looked after from now on."""
        if name in self._contexts:
            return
        page = self._contexts[name] = self.page.of_member(name)
        self.page.supervisor.look_after(page.settings, page.store)

    def theirs(self, person: Person) -> list[Path] | None:
        """The folders in which lies what a member may name; None for those who may name anything, or change nothing."""
        if person.role != "member":
            return None
        return [self.page.settings.of_member(person.name).home, _files_of(person)]

    def quota_of(self, person: Person) -> Quota | None:
        """Of a member whose page is open."""
        page = self._contexts.get(person.name) if person.role == "member" else None
        return page.quota if page else None

    # ---- what works without a login, by a key or a link

    def members(self) -> dict[str, AppContext]:
        """Those who are members now, by name, whether or not somebody looks at their page."""
        return {name: page for name, page in list(self._contexts.items()) if self._is_member(name)}

    def homes(self) -> list[Home]:
        """Of the members, for programs."""
        return [self._home_of(name, page) for name, page in self.members().items()]

    def arenas(self) -> list[Arenas]:
        """Of the members, for whoever has a link."""
        return [
            self._arenas.setdefault(name, Arenas(page.settings, page.quota)) for name, page in self.members().items()
        ]

    def _home_of(self, name: str, page: AppContext) -> Home:
        """With their own runs alone: what is shared with them is talked to on their page."""
        known = self._homes.get(name)
        if known is None:
            tokens, asked = page.tokens, partial(self._asked_on_page, name)
            limits = Limits(page.settings.member_chats, asked, partial(tokens.check, ""), partial(tokens.add, ""))
            models = ServedModels(RunStore(page.settings.runs), page.sessions)
            made = Home(models, ApiKeys(page.settings.home), page.own, limits)
            known = self._homes.setdefault(name, made)
        return known

    def _asked_on_page(self, name: str) -> int:
        found = self._pages.get(name)
        return self._asked_by(found.demo) if found else 0

    def _room_on_page(self, name: str) -> int:
        """How many questions a member may have for models on their page: programs of theirs may be answered, too."""
        programs = self._homes[name].answers() if name in self._homes else 0
        return self.page.settings.member_chats - programs

    async def _forget_idle(self, but: str) -> None:
        while len(self._pages) > MOST:
            idle = next((name for name, one in self._pages.items() if not one.open and name != but), None)
            if idle is None:
                return
            await self._pages.pop(idle).end()

    def _make(self, person: Person) -> PersonsPage:
        if person.role == "member":
            self.look_after(person.name)
            page = self._contexts[person.name]
        else:
            page = self.page.of_visitors()
        settings = self.page.settings
        with numbered_from_one():
            demo = build(page)
        demo.api_open = False
        demo.state_session_capacity = 2000
        outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        gr.mount_gradio_app(
            outer,
            demo,
            path="/",
            root_path=settings.root_path,
            auth_dependency=(lambda _: person.name) if person.role == "member" else None,
            app_kwargs={"middleware": [Middleware(Looks)], "routes": self._routes(page)},
            mcp_server=False,
            **how_shown(demo, upload_mb(settings, person.role)),
        )
        files = _files_of(person)
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        demo.server_app = demo.app = outer.routes[-1].app  # type: ignore[attr-defined]
        demo.app.uploaded_file_dir = str(files)
        for block in demo.blocks.values():
            block.GRADIO_CACHE = str(files)
        return PersonsPage(demo, outer, page.own)


def _files_of(person: Person) -> Path:
    """Where the uploads of a page lie, which nobody else's finds."""
    return Path(get_upload_folder()) / FOLDER / person.home.replace("/", "_")
