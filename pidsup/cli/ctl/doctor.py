"""`pidsupctl doctor`: what is wrong with this machine and its supervisors, and what to do."""

from __future__ import annotations

from pidsup.cli.ctl import doctor_machine, doctor_supervisors
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import FAILED, OK
from pidsup.cli.ctl.finding import PROBLEM, WARNING, Finding
from pidsup.cli.ctl.layout import flow
from pidsup.cli.ctl.terminal import Terminal, put, put_json, standard_output

_STYLES = {"ok": "green", WARNING: "yellow", PROBLEM: "red"}


def run(given: Given) -> int:
    """Look at everything, print it, and tell by the exit code whether there is a problem."""
    if given.host:
        return _on(given)
    findings = [*doctor_machine.findings(), *doctor_supervisors.findings(given)]
    if given.output == "json":
        put_json({"findings": [finding._asdict() for finding in findings]})
    else:
        shown = [f for f in findings if not given.quiet or f.level in (WARNING, PROBLEM)]
        put(lines(shown, standard_output(given.color)))
        if not given.quiet:
            print(_summary(findings))
    return FAILED if any(finding.level == PROBLEM for finding in findings) else OK


def _on(given: Given) -> int:
    """Let the doctor of another machine look at it."""
    import subprocess

    from pidsup.cli.ctl.ssh import command

    words = [*command(given.host, given.name, given.socket)[:-1], "doctor", f"-o{given.output}"]
    words += ["--quiet"] if given.quiet else []
    return subprocess.run(words, check=False).returncode  # noqa: S603  the user's own ssh


def lines(findings: list[Finding], terminal: Terminal) -> list[str]:
    """Return a finding per line, and below it what to do."""
    columns = max((len(finding.subject) for finding in findings), default=0)
    shown = []
    for level, subject, what, do in findings:
        word = terminal.paint(_STYLES[level], level) + " " * (len(WARNING) - len(level))
        start = f"{word}  {subject:{columns}}"
        width = len(WARNING) + 2 + columns
        shown += flow(start, width, [("", what)], terminal)
        if do:
            shown += flow(" " * width, width, [("bold", f"to do: {do}")], terminal)
    return shown


def _summary(findings: list[Finding]) -> str:
    counts = {level: sum(f.level == level for f in findings) for level in (PROBLEM, WARNING)}
    said = [f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count]
    return ", ".join(said) or "all is well"
