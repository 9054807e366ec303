"""The Hub token of a member: kept in their home, for nobody else to read, and never shown again."""

import re
from datetime import datetime

from ..errors import UserError
from ..settings import MemberSettings
from ..storage.disk import said
from ..storage.files import replace_file
from .publishing import Account, account_of

_TOKEN = re.compile(r"[\w-]{8,200}", re.ASCII)


def keep_token(settings: MemberSettings, typed: str) -> Account:
    """Whose it is. Raises UserError where the Hub does not know it, or cannot be asked: then nothing is changed."""
    token = typed.strip()
    if not _TOKEN.fullmatch(token):
        raise UserError("token.no_token", "That is no token of the Hub. One is a word that begins with hf_.")
    account = account_of(token)
    with said(settings.home):
        replace_file(settings.token_file, token, private=True)
    return account


def forget_token(settings: MemberSettings) -> None:
    """Nothing is fetched or published with it any more. Raises UserError where it cannot be deleted."""
    with said(settings.home):
        settings.token_file.unlink(missing_ok=True)


def kept_since(settings: MemberSettings) -> datetime | None:
    """None where none is kept."""
    if settings.token is None:
        return None
    return datetime.fromtimestamp(settings.token_file.stat().st_mtime)
