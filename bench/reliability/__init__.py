"""Campaigns that try to make undertow lose, crash or run what it reads: kills, full disks, fuzzed input, hostile content."""
