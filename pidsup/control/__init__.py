"""Varlink over a Unix socket: the interface file, framing, methods, server."""
