"""What `pidsupctl` is made of: a module per command, imported when its command is called."""
