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


def get(host: str, port: int, script: str, query: str) -> bytes:
    """Run a script, and return the body of its answer; EOFError where that is cut off."""
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
    with socket.create_connection((host, port), LIMIT_S) as connection:
        connection.sendall(b"".join(_record(kind, content) for kind, content in said))
        with connection.makefile("rb") as answer:
            answered = b""
            while True:
                header = answer.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    raise EOFError
                _, kind, _, length, padding = _HEADER.unpack(header)
                content = answer.read(length + padding)[:length]
                if kind == _END:
                    return answered.partition(b"\r\n\r\n")[2]
                answered += content if kind == _STDOUT else b""


def _record(kind: int, content: bytes) -> bytes:
    return _HEADER.pack(1, kind, 1, len(content), 0) + content
