"""The commands: ``main`` (the list), ``serve``, and those of the client."""
