"""For authors of drivers and clients: the acceptance suite, an audit of references, and injected
faults.

Nothing here is needed for serving; ``ninep.testing.suite`` needs pytest and hypothesis.
"""
