"""Pages of HTML that reports are written to."""
