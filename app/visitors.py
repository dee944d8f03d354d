"""Who comes back: a cookie with an unguessable id, which names the person's list of findings and nothing else.

Not in the address: links are passed on, and whoever got one would get the list with it. Not in reach of scripts either
(HttpOnly). Streamlit's pages read it from the request that opens their connection.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.findings import is_id, new_id

COOKIE = "loupe_findings"
DAYS = 400  # browsers keep none for longer; each visit begins them anew
CONDITIONS = (b"if-none-match", b"if-modified-since")


class Visitors:
    """Gives the cookie to whoever opens a page without one, and renews it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"text/html" in headers.get(b"accept", b""):
            # "Not modified" is no page, and brings no cookie to a browser that still has the page but not the cookie.
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] not in CONDITIONS]}
        held = _held(headers.get(b"cookie", b"").decode("latin-1"))
        secure = scope.get("scheme") == "https" or headers.get(b"x-forwarded-proto") == b"https"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and is_page(message):
                line = f"{COOKIE}={held or new_id()}; Path=/; Max-Age={DAYS * 86400}; HttpOnly; SameSite=Lax"
                given = (b"set-cookie", f"{line}{'; Secure' if secure else ''}".encode())
                message = {**message, "headers": [*message.get("headers", []), given]}
            await send(message)

        await self.app(scope, receive, answer)


def _held(text: str) -> str | None:
    try:
        morsel = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and is_id(morsel.value) else None


def is_page(message: Message) -> bool:
    """Whether an answer that begins is HTML."""
    kinds = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/html") for kind in kinds)
