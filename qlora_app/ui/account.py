"""A member's page about themselves: how much their home holds, and their own token of the Hub."""

import secrets
from html import escape
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import Problem, UserError
from ..hub.own_token import forget_token, keep_token, kept_since
from ..settings import GB, MemberSettings
from .arena.rating_page import careful, document
from .context import AppContext
from .guard import in_words
from .language import language_of, translated
from .translate import said_to

PATH = "/account"
WHAT_FOR = (
    "With a token of your own you train models that are gated or private on the Hub, and publish there in your own "
    "name. Nobody else uses it, and it is not shown again."
)
FORM = (
    '<form method="post" action="{root}/account/token"><label>Token of the Hub '
    '<input type="password" name="token" required autocomplete="off" spellcheck="false" maxlength="200"></label> '
    "<button>Keep the token</button></form>"
)
FORGET = '<form method="post" action="{root}/account/token/forget"><button>Forget it</button></form>'


class AccountPage:
    """Of one member."""

    def __init__(self, page: AppContext, settings: MemberSettings) -> None:
        self.page, self.settings = page, settings

    def routes(self) -> list[Route]:
        """Their marks stand in door/routes.py."""
        return [
            Route(PATH, self.look, methods=["GET"]),
            Route(f"{PATH}/token", self.keep, methods=["POST"]),
            Route(f"{PATH}/token/forget", self.forget, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """The page."""
        return await run_in_threadpool(self._shown, request)

    async def keep(self, request: Request) -> Response:
        """`token`: is asked about, and kept where the Hub knows it."""
        typed = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        return await run_in_threadpool(self._keep, request, typed)

    async def forget(self, request: Request) -> Response:
        """Then the page again."""
        return await run_in_threadpool(self._forget, request)

    def _keep(self, request: Request, typed: str) -> Response:
        try:
            keep_token(self.settings, typed)
        except UserError as error:
            return self._shown(request, in_words(error), 400)
        return _again(request)

    def _forget(self, request: Request) -> Response:
        try:
            forget_token(self.settings)
        except UserError as error:
            return self._shown(request, in_words(error), 400)
        return _again(request)

    def _shown(self, request: Request, problem: Problem | None = None, status: int = 200) -> Response:
        language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
        root = request.scope.get("root_path", "")
        said = f'<p class="wrong" role="alert">{escape(said_to(request, problem))}</p>' if problem else ""
        html = translated(self._body(root), language).replace("<main>", f'<main class="owner">{said}', 1)
        return HTMLResponse(document(html, language, "Your account", (), nonce), status, careful(nonce))

    def _body(self, root: str) -> str:
        size = self.page.quota.size() if self.page.quota else 0
        holds = f"Your home holds {size / GB:.1f} of {self.settings.member_gb} GB."
        since = kept_since(self.settings)
        kept = f"<p>A token is kept since {since:%Y-%m-%d}.</p>{FORGET}" if since else "<p>None is kept.</p>"
        return (
            f'<header><h1>Your account</h1><p translate="no">{escape(self.settings.member)}</p></header><main>'
            f"<p>{holds}</p><h2>Token of the Hub</h2><p>{WHAT_FOR}</p>"
            f"{kept.replace('{root}', escape(root))}{FORM.replace('{root}', escape(root))}"
            f'<p><a href="{escape(root)}/">Back to the page</a></p></main>'
        )


def _again(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}{PATH}", 303)
