"""The commands: ``main`` (the table of commands), ``serve``, and those of the client."""
