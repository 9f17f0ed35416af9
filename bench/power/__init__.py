"""What a screen finds and what it misses, on teachers and seeds that no threshold was set on."""
