"""What the browser has before Streamlit's script runs: our style sheet, our name, and what hides a page until it stands.

Streamlit sends a page's styles with the page's own answer, some seconds after its frame on a first visit: all would move then.
"""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.visitors import is_page

STYLE = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("first_paint.js")
TITLE = "Loupe"
OF_THE_FILE = (b"content-length", b"etag", b"last-modified", b"accept-ranges")  # of what the server holds


class FirstPaint:
    """Puts them into the head of every HTML page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        style, script = (file.read_text(encoding="utf-8") for file in (STYLE, SCRIPT))
        self.added = f"<style>\n{style}</style><script>\n{script}</script>\n".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
            # What comes compressed cannot be added to.
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"accept-encoding"]}
        start: Message | None = None
        body = b""

        async def answer(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and is_page(message) and _is_plain(message):
                start = message  # its length is known when the body is
            elif start is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    whole = self.dressed(body)
                    headers = [
                        (name, value) for name, value in start["headers"] if name.lower() not in OF_THE_FILE
                    ]
                    await send(
                        {**start, "headers": [*headers, (b"content-length", str(len(whole)).encode())]}
                    )
                    await send({"type": "http.response.body", "body": whole})
            else:
                await send(message)

        await self.app(scope, receive, answer)

    def dressed(self, page: bytes) -> bytes:
        """The page with them; a page without a head stays as it is."""
        page = page.replace(b"<title>Streamlit</title>", f"<title>{TITLE}</title>".encode(), 1)
        return page.replace(b"</head>", self.added + b"</head>", 1)


def _is_plain(message: Message) -> bool:
    """Whether an answer that begins is whole and not compressed."""
    compressed = any(name.lower() == b"content-encoding" for name, _ in message["headers"])
    return message["status"] == 200 and not compressed
