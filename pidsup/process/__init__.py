"""A child from birth to the end of its tree."""
