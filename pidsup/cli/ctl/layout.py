"""Lines of facts: on one line where they fit, else broken between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pidsup.cli.ctl.terminal import Terminal, cells, fitting

GAP = 2  #: blanks between facts
_LEAST = 8  # columns for names

#: A style and a text; the style "cut" is for one that may be shortened.
Fact = tuple[str, str]


def name_columns(lengths: Iterable[int], terminal: Terminal) -> int:
    """Return how wide names may stand: a third of the terminal, if others are wider."""
    if terminal.columns is None:
        return max(lengths, default=0)
    most = max(terminal.columns // 3, _LEAST)
    return max((length for length in lengths if length <= most), default=_LEAST)


def beside(
    name: str, columns: int, terminal: Terminal, *, indent: int = 0, style: str = ""
) -> tuple[list[str], str]:
    """Return what stands left, padded; a name that is too wide has a line before it."""
    shown = " " * indent + terminal.paint(style, name.ljust(columns))
    return ([], shown) if len(name) <= columns else ([shown], " " * (indent + columns))


def flow(start: str, width: int, facts: list[Fact], terminal: Terminal) -> list[str]:
    """Put facts behind *start*, *width* columns wide when printed; go on below its end.

    Where there is no limit to the columns it is one line.  A fact never goes on a line of
    its own because it is long: it is broken between words, or cut if it may be.
    """
    columns = terminal.columns
    if columns is not None and width > columns // 2:
        width, lines, at = 6, [start], 6  # no room beside it
        current = " " * width
    else:
        lines, current, at = [], start, width
    for style, text in facts:
        gap = GAP if at > width or not lines else 0
        if columns is not None and at + gap + cells(text) > columns and at > width:
            lines.append(current.rstrip())
            current, at, gap = " " * (width + GAP), width + GAP, 0
        for piece in _pieces(style, text, columns, at + gap, width + GAP, terminal):
            if piece is not None:
                current += " " * gap + terminal.paint("dim" if style == "cut" else style, piece)
                at += gap + cells(piece)
                gap = 0
            else:  # a break
                lines.append(current.rstrip())
                current, at = " " * (width + GAP), width + GAP
    if not lines or current.strip():
        lines.append(current.rstrip())
    return lines


def broken(text: str, terminal: Terminal) -> list[str]:
    """Break a text between words into lines, indented behind the first."""
    pieces = _pieces("", text, terminal.columns, 0, GAP, terminal)
    first, *others = [piece for piece in pieces if piece is not None]
    return [first, *(" " * GAP + piece for piece in others)]


def _pieces(  # noqa: PLR0917  all of them are where it stands
    style: str, text: str, columns: int | None, at: int, indent: int, terminal: Terminal
) -> list[str | None]:
    """Return a fact in pieces that fit, None between them for a new line."""
    if columns is None or at + cells(text) <= columns:
        return [text]
    if style == "cut":
        return [terminal.cut(text, max(8, columns - at))]
    pieces: list[str | None] = []
    room = columns - at
    while cells(text) > room:
        most = fitting(text, room)
        end = text.rfind(" ", 0, most + 1)
        if end <= 0:
            end = most if room >= 8 else fitting(text, 8)
        pieces += [text[:end], None]
        text = text[end:].lstrip()
        room = max(8, columns - indent)
    return [*pieces, text]


def table(rows: list[list[str]], heads: list[str], right: Sequence[str] = ()) -> list[str]:
    """Return lines with columns as wide as they must be; *right* names those set to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=True)
        ).rstrip()
        for row in [heads, *rows]
    ]
