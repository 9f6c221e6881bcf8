"""How long after its exec has a daemon started all its workers, interpreter included?"""

from __future__ import annotations

from bench.setting import Setting, interleaved

COUNT = 1000
CASE = f"N={COUNT}"


def measure(setting: Setting) -> None:
    """Start and stop each peer in turn."""
    for peers, rounds in setting.groups(full=10, quick=3, slow=2):
        samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for peer in interleaved(peers, rounds):
            with setting.fleet(peer, COUNT) as fleet:
                samples[peer.name].append(fleet.start() * 1000)
        for name, values in samples.items():
            setting.sheet.add("start", CASE, name, "ms", values)
    setting.sheet.mark_ratio("start", CASE, at_most=1.8)
