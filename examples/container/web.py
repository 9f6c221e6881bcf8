"""A worker that answers on the socket which it is given, sd_listen_fds(3)."""

from __future__ import annotations

import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    """Say who has answered."""

    def do_GET(self) -> None:
        """Answer any path."""
        text = f"process {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until SIGTERM; the request under way is finished."""
    listener = socket.socket(fileno=3)
    listener.setblocking(True)
    server = HTTPServer(("", 0), Answer, bind_and_activate=False)
    server.socket = listener
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("serving on", listener.getsockname(), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
