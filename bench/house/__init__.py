"""The house itself, measured: files, circles, names, what nothing reaches, the way of a request."""
