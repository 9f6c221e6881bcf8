"""Benchmarks of pidsup against a floor in C and against supervisord; see README.md."""
