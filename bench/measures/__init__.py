"""One module per question; each has a `measure` that fills a sheet."""
