"""The programs: arguments, exit codes, printing; no logic."""
