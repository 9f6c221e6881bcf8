"""Make text fit for a terminal: it is seen, and steers nothing.

Pure.  For the console of the supervisor as for `pidsupctl logs`.
"""

from __future__ import annotations


def clean(text: str) -> str:
    """Replace what would steer a terminal, newlines too, by what shows it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def harmless(text: str, *, colours: bool) -> str:
    """Make a line of a worker fit for a terminal: of what steers one, colours may stay.

    Whoever writes a log must not move an operator's cursor, name windows, or have the
    terminal type an answer.
    """
    if text.isprintable():
        return text
    import re  # not before: few need it

    parts = re.split(r"(\x1b\[[0-9;:]*m|\t)", text)
    parts[::2] = map(clean, parts[::2])
    painted = [part for part in parts[1::2] if part != "\t"]
    if not colours:
        parts[1::2] = [part if part == "\t" else "" for part in parts[1::2]]
    elif painted:
        parts.append("\x1b[m")  # the next line is somebody else's
    return "".join(parts)


def harmless_lines(data: bytes, *, colours: bool) -> bytes:
    """Make lines, or a piece of one, fit for a terminal; what is not UTF-8 is shown as bytes."""
    lines = data.decode(errors="backslashreplace").split("\n")
    return "\n".join(harmless(line, colours=colours) for line in lines).encode()
