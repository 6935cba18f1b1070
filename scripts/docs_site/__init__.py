"""Hooks of the documentation site and the pages that they generate."""
