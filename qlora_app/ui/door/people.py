"""Who asks: found out at the door of every request, and nowhere else."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ...accounts import NAME, ON_HUB, Accounts, Person
from ...settings import Settings
from .origins import Came

RANKS = ("visitor", "member", "owner")  # who may more stands behind
KNOWN_BY_PROXY = 86_400.0  # seconds after a visit by which a proxy's word of somebody still counts for their keys
WRITES = ("write", "contributor")  # roles in an organisation of the Hub whose people may write there


class People:
    """Those of one installation. Whether there is a login at all is decided when it starts."""

    def __init__(self, settings: Settings, accounts: Accounts | None = None, hub_owner: str = "") -> None:
        """hub_owner: whose Space it is, where people log in with Hugging Face. Raises UserError where who may log in
        cannot be read: nobody is let in as if there were no login.
        """
        self.hub_owner = hub_owner
        self.settings = settings
        self.accounts = accounts or Accounts(settings)
        self._header = (settings.login_header or "").lower().encode("latin-1")
        self.accounts.check()
        # May somebody log in here, and not only at a proxy?
        self.has_passwords = bool(settings.login or self.accounts.is_there)
        self.has_login = self.has_passwords or bool(self._header or hub_owner)
        # A Space that was open to everybody goes on being so.
        self.has_visitors = settings.visitors or (bool(hub_owner) and not self.has_passwords)
        self._members_until: dict[str, float] = {}  # {name: seconds since 1970}, of those who have no account here
        self._began_as: dict[str, str] = {}  # {token: mark of the account when it logged in}

    @property
    def all_are(self) -> Person:
        """Whom everybody is taken for where there is no login."""
        return Person("", "visitor" if self.settings.is_demonstration else "owner")

    async def let_in(self, name: str, password: str) -> bool:
        """As Gradio asks it. Hashing takes a while, in which others are answered."""
        if self.settings.lets_in(name, password):
            return True
        return await asyncio.to_thread(self.accounts.lets_in, name, password)

    def named(self, name: str) -> Person | None:
        """Somebody who has logged in elsewhere, by the name they have there. None for nobody here."""
        own = self.settings.user or ""
        name = own if own and name == own.lower() else name
        role = self.accounts.role_of(name)
        if role is None and self.settings.others != "nobody":
            role = self.settings.others
        if role is None or (role == "member" and not NAME.fullmatch(name)):
            return None
        return Person(name, role)

    def of_hub(self, session: Mapping[str, Any]) -> Person | None:
        """Somebody who has logged in with Hugging Face, by the session that Gradio signs. Owners are the Space's own
        and the administrators of the organisation it belongs to; what those are who may write for it, the settings say.
        Their names are no accounts' of this server.
        """
        info = session.get("oauth_info") or {}
        who = info.get("userinfo") or {}
        username = str(who.get("preferred_username") or "").lower()
        if not self.hub_owner or not username or float(info.get("expires_at") or 0) < time.time():
            return None
        name = f"{username}{ON_HUB}"
        role = self._role_in_organisation(who.get("orgs"))
        if username == self.hub_owner.lower() or role == "admin":
            return Person(name, "owner")
        known = self.named(name)
        if role not in WRITES or self.settings.org_writers == "nobody" or self.accounts.role_of(name):
            return known
        most = max((self.settings.org_writers, known.role if known else "visitor"), key=RANKS.index)
        return Person(name, most) if NAME.fullmatch(name) or most != "member" else None

    def _role_in_organisation(self, told: Any) -> str:
        """As the Hub says it of the organisation that the Space belongs to: admin, write, contributor or read; "" for
        none, and for whoever has not met what it asks of its people (a second factor, its own login).
        """
        for one in told if isinstance(told, list) else []:
            is_it = isinstance(one, dict) and str(one.get("preferred_username")).lower() == self.hub_owner.lower()
            if is_it and not (one.get("missingMFA") or one.get("pendingSSO")):
                return str(one.get("roleInOrg") or "")
        return ""

    def is_member(self, name: str) -> bool:
        """Whose home that is: may they still come in, as a member? Asked for what works without a login, by a key or a
        link. Of whoever has no account here it is known only for as long as what they were last known by.
        """
        if self.accounts.role_of(name) is not None:
            return self.accounts.is_member(name)
        return time.time() < self._members_until.get(name, 0.0)

    def person(
        self,
        came: Came,
        headers: dict[bytes, str],
        tokens: list[str],
        logged_in: dict[str, Any],
        session: Mapping[str, Any] | None = None,
    ) -> Person | None:
        """Who sent a request; None for whoever has to log in first.

        tokens: what the browser shows; logged_in: {token: name} as Gradio keeps it, out of which is taken who is no
        account any more, or another one.
        """
        if not self.has_login:
            return self.all_are
        if self._header and came.by_proxy and (name := headers.get(self._header, "").strip().lower()):
            return self._seen(self.named(name), time.time() + KNOWN_BY_PROXY)
        found = next((person for token in tokens if (person := self._of_token(token, logged_in))), None)
        if found is None and (found := self.of_hub(session or {})):
            self._seen(found, float((session or {})["oauth_info"]["expires_at"]))
        if found is None and self.has_visitors:
            return Person("", "visitor")
        return found

    def _seen(self, person: Person | None, until: float) -> Person | None:
        """The same. What they are is believed until then."""
        if person and person.role == "member":
            self._members_until[person.name] = until
        elif person:
            self._members_until.pop(person.name, None)
        return person

    def begin(self, logged_in: dict[str, Any]) -> None:
        """Somebody has just logged in: from now on their account must stay as it is."""
        for token, name in list(logged_in.items()):
            self._began_as.setdefault(token, self.accounts.mark_of(str(name)))
        for token in [one for one in self._began_as if one not in logged_in]:
            del self._began_as[token]

    def _of_token(self, token: str, logged_in: dict[str, Any]) -> Person | None:
        name = str(logged_in.get(token, ""))
        if not name:
            return None
        began_as = self._began_as.setdefault(token, self.accounts.mark_of(name))
        role = self.accounts.role_of(name)
        if role is None or began_as != self.accounts.mark_of(name):
            logged_in.pop(token, None)
            return None
        return Person(name, role)


def hub_login_of(environment: Mapping[str, str]) -> str:
    """Whose Space this is, where its visitors may log in with Hugging Face (`hf_oauth: true`); "" elsewhere."""
    needed = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
    is_offered = environment.get("SYSTEM") == "spaces" and all(environment.get(name) for name in needed)
    return environment.get("SPACE_AUTHOR_NAME", "") if is_offered else ""
