"""What becomes of the output of workers: pipes, lines, files, console, memory."""
