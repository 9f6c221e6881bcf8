"""What this machine has to say of a configuration."""
