"""The program `pidsup`: run, exec, check, schema, install-units.

`run` and `exec` do not parse their arguments here: see cli.run, which wants nothing in
memory that only the start needs.
"""

from __future__ import annotations

import sys

from pidsup.cli.codes import INTERRUPTED


def main() -> int:
    """Run the program and return its exit code; an interrupt is no error at any time.

    The daemon itself takes signals in its own way.
    """
    try:
        return _main()
    except KeyboardInterrupt:
        return INTERRUPTED


def _main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] in (["run"], ["exec"]):
        from pidsup.cli.run import run

        return run(arguments)
    from pidsup.cli.check import main as check_main

    return check_main(arguments)


if __name__ == "__main__":
    sys.exit(main())
