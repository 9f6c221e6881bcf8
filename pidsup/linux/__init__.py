"""One kernel facility per module, over csrc; mechanism only, raises OSError."""
