"""The syntax of `listen`: PORT, HOST:PORT, [IPV6]:PORT, /PATH, @NAME; and of `systemd`: NAME[:N].

Pure, and light: the daemon looks at addresses, too.
"""

from __future__ import annotations

from pidsup.config.kind import Kind, Wrong, must_be

_MOST_BYTES = 107  # sun_path has 108 and ends with NUL, or begins with one, unix(7)
_IN_HOSTS = "-._"
_MOST_NAME = 255  # of a descriptor, sd_pid_notify_with_fds(3)
_PASSED_SYNTAX = 'a name such as "http", or "http:1" for the second of that name'
_SYNTAX = (
    'an address such as "127.0.0.1:8080", "[::1]:8080", "8080", "/run/shop/web.sock" or "@name"'
)


def address(value: object) -> str:
    """Take an address of the syntax above, or a port as a number; names of hosts stay names."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise must_be(_SYNTAX, value)
    if value[0] in "/@":
        _check_path(value)
    else:
        _check_host_and_port(value)
    return value


def passed_name(value: object) -> str:
    """Take the name of a socket that systemd passes: NAME, or NAME:N for one of several."""
    if not isinstance(value, str):
        raise must_be(_PASSED_SYNTAX, value)
    name, colon, index = value.partition(":")
    fits = name.isascii() and name.isprintable() and 0 < len(name) <= _MOST_NAME
    if not fits or (colon and not (index.isascii() and index.isdecimal() and len(index) <= 4)):
        raise must_be(_PASSED_SYNTAX, value)
    return value


def name_and_index(passed: str) -> tuple[str, int | None]:
    """Split such a name; the index is None where it has none."""
    name, colon, index = passed.partition(":")
    return name, int(index) if colon else None


def is_path(listen: str) -> bool:
    """Tell whether this address is a path in the file system."""
    return listen.startswith("/")


def is_unix(listen: str) -> bool:
    """Tell whether this address is a path or an abstract name."""
    return listen.startswith(("/", "@"))


def _wrong(text: str) -> Wrong:
    return Wrong(((), text))


def _check_path(value: str) -> None:
    what, name = ("name", value[1:]) if value[0] == "@" else ("path", value)
    length = len(name.encode(errors="surrogateescape"))
    if length > _MOST_BYTES:
        why = f"has a {what} of {length} bytes, the kernel allows {_MOST_BYTES}: shorten it"
        raise _wrong(why)
    if value == "@":
        raise _wrong("must have a name behind the @")
    if value[-1] == "/":
        raise _wrong(f"must be the path of a socket, not of a directory, {value!r}")


def _check_host_and_port(value: str) -> None:
    if value.isascii() and value.isdecimal():
        _check_port(value)
        return
    if value.startswith("unix:") or "://" in value:
        raise _wrong(f"must not begin with a scheme: leave it out of {value!r}")
    if "/" in value:
        raise _wrong(f"must be an absolute path, not {value!r}")
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        raise _wrong(f"has no port in {value!r}: write HOST:PORT; a path begins with /")
    if host.startswith("[") and host.endswith("]"):
        _check_ipv6(host[1:-1])
    elif ":" in host:
        raise _wrong(f'must have an IPv6 address in brackets, "[::1]:8080", not {value!r}')
    elif host in ("", "*"):
        raise _wrong(f'must be "{port}" for all addresses, not {value!r}')
    else:
        _check_host(host)
    _check_port(port)


def _check_ipv6(host: str) -> None:
    import ipaddress

    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise _wrong(f"has no IPv6 address in the brackets, {host!r}") from error


def _check_host(host: str) -> None:
    import ipaddress

    if host.replace(".", "").isdecimal():
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise Wrong(
                ((), f"has no IPv4 address in {host!r}: it has four numbers to 255")
            ) from error
    elif not all(char.isalnum() or char in _IN_HOSTS for char in host) or host[0] in "-.":
        raise _wrong(f"has no name of a host in {host!r}")


def _check_port(port: str) -> None:
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise _wrong(f"must have a port from 0 to 65535, not {port!r}")


_PORT = "([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_BRACKETS = r"\[[0-9A-Fa-f:.]+(%[^\]]+)?\]"

ADDRESS = Kind(
    "address",
    address,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 65535},
            {
                "type": "string",
                "pattern": rf"^(/.*[^/]|@.+|(([^/:*\s]+|{_BRACKETS}):)?{_PORT}|.*\{{env\..*)$",
            },
        ]
    },
)

PASSED_NAME = Kind(
    "name of a descriptor",
    passed_name,
    {"type": "string", "pattern": "^[ -9;-~]{1,255}(:[0-9]{1,4})?$"},
)
