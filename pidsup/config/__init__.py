"""The table of options, the model it makes, and loading."""
