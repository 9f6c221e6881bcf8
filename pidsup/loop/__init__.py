"""Clock, timers and epoll: the only place that blocks."""
