"""The audit: the checks that a subject allows, run and judged; and the tables that say how often they err."""
