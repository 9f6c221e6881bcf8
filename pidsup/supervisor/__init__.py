"""The daemon: loop, signals, watchers, changes, table, shutdown."""
