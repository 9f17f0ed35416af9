"""The sandbox: where generated code runs, in kernel isolation."""
