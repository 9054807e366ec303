"""Start the page: settings -> build -> launch. Training goes on in its own processes when this one ends."""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from qlora_app.settings import MemberSettings, Settings
from qlora_app.space import persistent_storage, reached_directly

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["FORWARDED_ALLOW_IPS"] = "none"  # who came through a proxy is found out at the door, which knows the proxies
os.environ["no_proxy"] = os.environ["NO_PROXY"] = reached_directly()
if storage := persistent_storage():
    os.environ.setdefault("HF_HOME", str(storage / "hub"))

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from qlora_app.accounts import members_in
from qlora_app.errors import UserError
from qlora_app.hub.last_sent import note_coming
from qlora_app.inference.pool import ModelPool, warm_up
from qlora_app.launch.keeper import Keeper
from qlora_app.launch.queue import Supervisor, queue_of
from qlora_app.log_format import write_logs_as_json
from qlora_app.runs import RunStore
from qlora_app.serving import ApiKeys, Endpoint, Home, ServedModels
from qlora_app.ui import (
    SCRIPTS,
    TITLE,
    AppContext,
    ArenaRoutes,
    Arenas,
    JudgeRoutes,
    RequestGuard,
    build,
    exported,
    served_file,
)
from qlora_app.ui.account import AccountPage
from qlora_app.ui.audit import Audit
from qlora_app.ui.door.admission import Admission
from qlora_app.ui.door.connections import be_patient_with
from qlora_app.ui.door.looks import Looks
from qlora_app.ui.door.people import People, hub_login_of
from qlora_app.ui.guard import DEMONSTRATION, OWNERS_HINT
from qlora_app.ui.health import Health, figures_of
from qlora_app.ui.pages import Pages, how_shown


def open_page(settings: Settings) -> tuple[gr.Blocks, Supervisor]:
    """The page, served from a thread, and the supervisor of its runs. Raises UserError where that is not possible."""
    settings.make_home()
    people = People(settings, hub_owner=hub_login_of(os.environ))
    if settings.mcp and (people.has_login or settings.is_demonstration):
        raise UserError(
            "page.mcp_alone",
            "QLORA_APP_MCP is for a page of this machine alone: an assistant cannot log in. Take it away, or the login "
            "and QLORA_APP_HOST. Programs use /v1 with a key.",
        )
    store = RunStore(settings.runs)
    models = ModelPool(is_guarded=True)
    supervisor = queue_of(settings, store, models.give_way)
    role = "owner" if people.has_login else people.all_are.role
    audit = Audit(None if settings.is_local and not people.has_login else settings.home)
    page = AppContext(settings, store, supervisor, models, audit=audit, role=role, has_login=people.has_login)
    demo = build(page)
    demo.has_hub_login = bool(people.hub_owner)
    demo.api_open = False  # a question goes through the queue, where its visitor has a place
    admission = Admission(page.visitors)
    admission.install(demo)
    pages = Pages(
        page,
        lambda one: [*exported(one.store), *standing_alone(one)],
        admission.install,
        admission.asked_by,
        people.is_member,
    )
    own_name = os.environ.get("SPACE_HOST", "")
    is_open = settings.is_local and not people.has_login
    home = Home(ServedModels(store, page.sessions), ApiKeys(settings.home))
    programs = Endpoint(home, is_open, pages.homes if people.has_login else tuple)
    health = Health(page)
    watched = [*health.routes(), *figures_of(health, admission.under_way, programs)]
    door = Middleware(
        RequestGuard,
        settings=settings,
        own_name=own_name,
        visitors=page.visitors,
        audit=audit,
        people=people,
        pages=pages if people.has_login else None,
    )
    try:
        demo.launch(
            server_name=settings.host,
            server_port=settings.port,
            auth=people.let_in if people.has_passwords else None,
            root_path=settings.root_path,
            state_session_capacity=2000,
            prevent_thread_lock=True,
            quiet=True,
            _frontend=False,  # Gradio gives up when its own page takes over 3 s, as on a machine that is busy
            share=False,
            mcp_server=settings.mcp,
            **how_shown(demo, settings.max_upload_mb),
            app_kwargs={
                "middleware": [door, Middleware(Looks)],
                "lifespan": pages.living,
                "routes": [
                    Route(SCRIPTS, served_file),
                    *exported(store),
                    Mount("/v1", programs.app()),
                    *standing_alone(page, pages.arenas if people.has_login else list),
                    *watched,
                ],
            },
        )
    except OSError as error:
        raise UserError(
            "page.address_taken",
            "{host}:{port} is taken, or is no address of this machine. End the other program, or set QLORA_APP_PORT or "
            "QLORA_APP_HOST to another one.",
            host=settings.host,
            port=settings.port,
        ) from error
    for name in members_in(settings):
        pages.look_after(name)
    demo.last_words = admission.close  # type: ignore[attr-defined]
    be_patient_with(demo.server, settings.proxy_networks)
    supervisor.start()
    # Thousands of rows are read before somebody opens the list.
    threading.Thread(target=page.summaries.rows, daemon=True).start()
    return demo, supervisor


def standing_alone(page: AppContext, others: Callable[[], list[Arenas]] = list) -> list[Route]:
    """Pages beside the page. others: the arenas of members, whose links the server's own page answers."""
    settings = page.settings
    account = AccountPage(page, settings).routes() if isinstance(settings, MemberSettings) else []
    return [*ArenaRoutes(Arenas(settings, page.quota), others).routes(), *JudgeRoutes(page).routes(), *account]


def serve(settings: Settings) -> None:
    """Answer until Ctrl-C or SIGTERM. Runs go on after that."""
    demo, supervisor = open_page(settings)
    note_coming(settings, None)  # of an app that was ended while its runs came
    # A process of its own: whoever looks after a Space ends one that does not answer while its runs come.
    keeper = Keeper(lambda words: _say(settings, words)) if settings.keep_runs else None
    _say(settings, f"{TITLE} is on http://{settings.host}:{demo.server_port}  (Ctrl-C ends the page; training goes on)")
    if settings.is_demonstration and not People(settings, hub_owner=hub_login_of(os.environ)).has_login:
        _say(settings, f"{DEMONSTRATION} {OWNERS_HINT}")
    threading.Thread(target=_prepare_chat, args=(supervisor,), daemon=True).start()
    wishes: list[int] = []  # no Event: a signal that comes while its lock is taken would wait for itself
    for wish in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wish, lambda number, _: wishes.append(number))
    while not wishes:
        time.sleep(0.2)
        if keeper:
            keeper.look()
    demo.last_words()  # type: ignore[attr-defined]
    demo.close(verbose=False)
    supervisor.close()
    if keeper:
        keeper.close()


def leave() -> None:
    """End the process without what Python takes apart at its end: with a model in memory that is ten seconds, in which
    a container is killed and the next server waits for the address.
    """
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _say(settings: Settings, words: str) -> None:
    """To whoever started it."""
    if settings.log_format == "json":
        logging.getLogger("qlora_app").info(words)
    else:
        print(words, flush=True)


def _prepare_chat(supervisor: Supervisor) -> None:
    """Import what answering needs once the page and the standby are there, so that the first question does not wait for
    it.
    """
    supervisor.wait_until_ready()
    warm_up()


if __name__ == "__main__":
    try:
        found = Settings.from_environment()
        if found.log_format == "json":
            write_logs_as_json()
        serve(found)
        leave()
    except UserError as error:
        sys.exit(str(error))
