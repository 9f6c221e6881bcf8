"""What is wrong between options that are right each for itself.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pidsup.config.activation_checks import check_activation
from pidsup.config.document import Document
from pidsup.config.output_checks import check_outputs
from pidsup.config.placeholder_checks import check_placeholders
from pidsup.config.problem import Findings
from pidsup.config.socket_checks import check_sockets
from pidsup.config.watcher_checks import check_watchers


def check(
    expanded: Mapping[str, Any],
    document: Document,
    findings: Findings,
    environment: Mapping[str, str],
) -> None:
    """Note all that is wrong with an expanded configuration, and what is probably not meant."""
    check_watchers(expanded["watchers"], document, findings)
    check_sockets(expanded["sockets"], expanded["watchers"], document, findings)
    check_activation(expanded["watchers"], expanded["sockets"], document, findings)
    check_placeholders(expanded, findings, environment)
    check_outputs(expanded["watchers"], document, findings)
