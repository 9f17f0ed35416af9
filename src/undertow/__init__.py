"""undertow: measure, detect, prevent and study subliminal learning."""

__version__ = "0.1.0"
