"""A hub of pretrained weights on 127.0.0.1 that can stop in the midst of a file."""

from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path
from typing import Any

MODEL = "test_resnet"  # timm's, of 2 MB


class Hub:
    """`sends`: the part of the file after which it stops; `cuts`: whether it then hangs up, or leaves its visitor waiting.
    halfway: set when it has stopped. folder: the visitors' cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sends, self.cuts = 1.0, False
        self.halfway, self._over = threading.Event(), threading.Event()
        self._data: bytes | None = None
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.known()

            def do_GET(self) -> None:
                if self.known():
                    hub._send(self)

            def known(self) -> bool:
                there = "/resolve/" in self.path and self.path.endswith("/model.safetensors")
                self.send_response(200 if there else 404)
                if there:
                    self.send_header("ETag", f'"{hashlib.sha256(hub.data).hexdigest()}"')
                    self.send_header("X-Repo-Commit", "a" * 40)
                else:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", str(len(hub.data) if there else 0))
                self.end_headers()
                return there

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def data(self) -> bytes:
        """The file: the model's weights as torch draws them from seed 5."""
        if self._data is None:
            import timm
            import torch
            from safetensors.torch import save

            torch.manual_seed(5)
            self._data = save(timm.create_model(MODEL).state_dict())
        return self._data

    def _send(self, handler: Any) -> None:
        sent = int(self.sends * len(self.data))
        try:
            handler.wfile.write(self.data[:sent])
            handler.wfile.flush()
            if sent < len(self.data):
                self.halfway.set()
                if not self.cuts:
                    self._over.wait(120)
                handler.close_connection = True
        except OSError:  # the visitor is gone
            handler.close_connection = True

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
