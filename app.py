"""Start the page: settings -> build -> launch. Training goes on in its own processes when this one ends."""

import os
import signal
import sys
import threading

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from starlette.middleware import Middleware

from qlora_app.chat import ChatSessions, warm_up
from qlora_app.errors import UserError
from qlora_app.launch.local import Supervisor
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.ui import HEAD, STYLE, THEME, TITLE, Page, SameOrigin, build


def open_page(settings: Settings, is_space: bool) -> tuple[gr.Blocks, Supervisor]:
    """The page, served from a thread, and the supervisor of its runs. Raises UserError where that is not safe or not possible."""
    login = (settings.user, settings.password.get_secret_value()) if settings.user and settings.password else None
    if not (settings.is_local or login or is_space):
        raise UserError(f"{settings.host} can be reached from other machines, so the page needs a login: "
                        "set QLORA_APP_USER and QLORA_APP_PASSWORD, or leave QLORA_APP_HOST at 127.0.0.1.")
    store = RunStore(settings.runs)
    supervisor = Supervisor(store)
    demo = build(Page(settings, store, supervisor, ChatSessions(), may_change=bool(login) or not is_space))
    guard = Middleware(SameOrigin, local_only=settings.is_local)
    try:
        demo.launch(server_name=settings.host, server_port=settings.port, auth=login, prevent_thread_lock=True, quiet=True, share=False,
                    theme=THEME, css=STYLE, head=HEAD, run_history=False, mcp_server=False, ssr_mode=False, pwa=False, footer_links=[],
                    max_file_size=f"{settings.max_upload_mb}mb", app_kwargs={"middleware": [guard]})
    except OSError as error:
        raise UserError(f"Port {settings.port} is taken. End the other program, or set QLORA_APP_PORT to another number.") from error
    supervisor.start()
    return demo, supervisor


def serve(settings: Settings) -> None:
    """Answer until Ctrl-C or SIGTERM. Runs go on after that."""
    is_space = "SPACE_ID" in os.environ
    if is_space:
        settings = settings.model_copy(update={"host": "0.0.0.0"})  # a Space is reached through Hugging Face's proxy
    demo, supervisor = open_page(settings, is_space)
    print(f"{TITLE} is on http://{settings.host}:{demo.server_port}  (Ctrl-C ends the page; training goes on)", flush=True)
    threading.Thread(target=_prepare_chat, args=(supervisor,), daemon=True).start()
    ended = threading.Event()
    for wish in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wish, lambda *_: ended.set())
    ended.wait()
    demo.close(verbose=False)
    supervisor.close()


def _prepare_chat(supervisor: Supervisor) -> None:
    """Import what answering needs once the page and the standby are there, so that the first question does not wait for it."""
    supervisor.wait_until_ready()
    warm_up()


if __name__ == "__main__":
    try:
        serve(Settings.from_environment())
    except UserError as error:
        sys.exit(str(error))
