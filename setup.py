"""Build the extension, and the manual pages; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))  # the pages are made by what they describe
from pidsup.cli.ctl import manual

SHELLS = "pidsup/cli/ctl/shells"
pages = manual.write(Path("build/man"))

setup(
    cffi_modules=["csrc/build_native.py:ffibuilder"],
    data_files=[
        ("share/man/man1", [page for page in pages if page.endswith(".1")]),
        ("share/man/man5", [page for page in pages if page.endswith(".5")]),
        ("share/zsh/site-functions", [f"{SHELLS}/_pidsupctl"]),
        (
            "share/fish/vendor_completions.d",
            [f"{SHELLS}/pidsupctl.fish", f"{SHELLS}/pidsup.fish"],
        ),
        ("share/bash-completion/completions", [f"{SHELLS}/pidsupctl", f"{SHELLS}/pidsup"]),
    ],
    # cffi builds for the stable ABI: one wheel per platform serves all Pythons.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
