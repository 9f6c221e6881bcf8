"""Exit codes of `pidsup`; a give_up_exit_code comes on top."""

OK, FAILURE, USAGE = 0, 1, 2  # ordered, failed, wrong usage or configuration
INTERRUPTED = 130  # before it was up; of pidsupctl at any time
