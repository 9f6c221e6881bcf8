"""As much of FastCGI as a web server says to php-fpm for one GET.

fastcgi-archives.github.io/FastCGI_Specification.html: records of a header (version, type,
request id, length, padding) and their content.
"""

from __future__ import annotations

import socket
import struct

from tests.support import LIMIT_S

_HEADER = struct.Struct(">BBHHBx")
_BEGIN, _END, _PARAMS, _STDIN, _STDOUT = 1, 3, 4, 5, 6
_RESPONDER = struct.pack(">HB5x", 1, 0)  # and hang up afterwards


def asked(host: str, port: int, script: str, query: str = "") -> socket.socket:
    """Ask for a script, and return the connection, which the caller owns."""
    variables = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_FILENAME": script,
        "SCRIPT_NAME": script,
        "QUERY_STRING": query,
    }
    params = b"".join(
        bytes((len(name), len(value))) + name.encode() + value.encode()
        for name, value in variables.items()
    )
    said = [(_BEGIN, _RESPONDER), (_PARAMS, params), (_PARAMS, b""), (_STDIN, b"")]
    connection = socket.create_connection((host, port), LIMIT_S)
    connection.sendall(b"".join(_record(kind, content) for kind, content in said))
    return connection


def answer(connection: socket.socket) -> bytes:
    """Return the body of the answer; EOFError where that is cut off."""
    body = b""
    with connection.makefile("rb") as file:
        while header := file.read(_HEADER.size):
            _, kind, _, length, padding = _HEADER.unpack(header)
            content = file.read(length + padding)[:length]
            if kind == _END:
                return body.partition(b"\r\n\r\n")[2]
            body += content if kind == _STDOUT else b""
    raise EOFError


def _record(kind: int, content: bytes) -> bytes:
    return _HEADER.pack(1, kind, 1, len(content), 0) + content
