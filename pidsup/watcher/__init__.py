"""One command kept running in N slots: the shells around policy."""
