"""A Fairwitness plug-in for Ring cameras, in an environment of its own (docs/spec/plugin.md)."""
