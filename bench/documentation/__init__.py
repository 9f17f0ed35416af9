"""The documentation: how long the site takes to build, whether its links lead somewhere, whether the reference is whole."""
