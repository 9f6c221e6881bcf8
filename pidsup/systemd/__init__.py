"""systemd's protocols, without input or output where that is possible; knows no loop."""
