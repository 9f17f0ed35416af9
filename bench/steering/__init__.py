"""Whether one steering vector explains what students of a teacher learn, and whether that needs an adaptive optimiser."""
