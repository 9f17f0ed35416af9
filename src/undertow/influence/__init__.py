"""How training on rows moves a probe."""
