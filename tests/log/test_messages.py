"""The events with a MESSAGE_ID: catalog, documentation and code have the same."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pidsup
from pidsup.log.messages import MESSAGES, as_markdown

ROOT = Path(__file__).parent.parent.parent
CATALOG = ROOT / "units" / "pidsup.catalog"
LEVELS = ("info", "warning", "error")

#: Each id, fixed for ever: who looks for one finds it in old entries and new.
IDS = """
    17a803da1d0940a39ab6e691332c150c b2185b1cec5a409291eb4dfa9eea1455
    9afd4c7840cb41af885bc8c7727bc302 662af088ee7246098fa4a1da837b41d6
    cf284245a5d54e8cae53d642aba3d46f 4faecdc328a94d8faa0e21feaf394838
    f510b1bef34e4468ad29c1b334219416 d26959a4e8b74becbdad1df06219efc3
    5e7d1c12343245e7a97417c9bda66b68 0865504774fc4d21911a713af056d33b
    b021b660a2094a15a2d739a6175a8b03 5ed2afdc5335434cb30d3d25e7e44740
    2f71671621d6401da170332337a01f2d e76b2c71898d4e529ec21e4b80011ced
    865a1621919e4d19b94ab10cb5085402 dddc97ebf9c6451b81ca75830643f39c
    c84b957d9b054ea1b0742aa88ca077ce a283383797204560a59765dba8bcf611
    c724ff4ac7914d01b7a4ba3f5a0e3722 cb3eec31c2af4181a7676feead408699
    4aefc810262644d1a232646419019bda 3c00eb04514e49e980ecb1eca73d9840
    1ca044e20ada429aa9e2cc02afd81a40 a47cd2c7ab754ee09bcb58c048c53618
    838de5c2243a4fc88a165eaac617082e d969d0c9eb6c4ee08f3a32277477d94d
    43e89792ab2145e0a113318cef35a2a8 eea62b231f2f49ad8f3f24a809773da1
    386f6d3a89ba4008b65747a8f7cda373 6dfb876010f646fd8b4d453859c1f91b
    """.split()


def test_an_id_never_changes() -> None:
    """A new event gets a new one, and a line here."""
    assert {message.id for message in MESSAGES.values()} == set(IDS)


def test_the_catalog_explains_every_id_and_no_other() -> None:
    """`journalctl -x` has something to say of each."""
    found = re.findall(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), re.MULTILINE)
    assert sorted(found) == sorted(IDS)


def test_the_documentation_lists_every_id() -> None:
    """`python -m pidsup.log.messages` prints what docs/journal.md holds."""
    assert as_markdown() in (ROOT / "docs" / "journal.md").read_text()


#: Events of a slot, which is named by what they are said through.
_OF_SLOTS = ("worker ended", "cannot start worker", "message ignored", "descriptors not kept")


def said_in_the_code() -> dict[str, set[str]]:
    """Return the facts that each event is said with anywhere."""
    found: dict[str, set[str]] = {"internal error": {"traceback"}, "log lines dropped": {"count"}}
    for path in Path(pidsup.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                first, facts = node.args[0], {k.arg for k in node.keywords if k.arg}
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in (*LEVELS, "tell", "_log_end", "_warn") and isinstance(
                    first, ast.Constant
                ):
                    found.setdefault(str(first.value), set()).update(facts)
    return found


def test_every_event_of_the_table_is_said_somewhere() -> None:
    """One that was reworded in the code only would lose its id."""
    commands = {"start", "stop", "restart", "scale", "signal", "apply"}  # said by their names
    assert set(MESSAGES) - commands - set(said_in_the_code()) == set()


def test_every_field_of_the_catalog_is_one_that_its_event_has() -> None:
    """`journalctl -x` leaves @PIDSUP_WHY@ as it is where there is none."""
    said = said_in_the_code()
    of_all = {"NAME"}
    for event, message in MESSAGES.items():
        facts = of_all | {fact.upper() for fact in said.get(event, ())}
        if event not in said or event == "apply":  # a command's
            facts |= {"WHAT", "CHANGE", "ASKED_BY"}
        if "SLOT" in facts or event in _OF_SLOTS:
            facts |= {"SLOT", "WATCHER", "NEXT"}
        text = CATALOG.read_text().partition(f"-- {message.id}\n")[2].partition("\n-- ")[0]
        assert set(re.findall("@PIDSUP_([A-Z_]+)@", text)) <= facts, event


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="*** needs journalctl ***")
def test_journalctl_reads_the_catalog(tmp_path: Path) -> None:
    """Every entry of it, without a word of complaint."""
    folder = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    folder.mkdir(parents=True)
    (tmp_path / "var" / "lib" / "systemd" / "catalog").mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    made = _journalctl(tmp_path, "--update-catalog")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    listed = _journalctl(tmp_path, "--list-catalog").stdout
    assert {line.split()[0] for line in listed.splitlines()} == set(IDS)
    assert "pidsup: Supervisor @PIDSUP_NAME@ starts its watchers" in listed


def _journalctl(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["journalctl", f"--root={root}", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
