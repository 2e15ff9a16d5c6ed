"""For authors of drivers and clients: the acceptance suite, an auditor of claims, and faults on demand.

Nothing here is needed to serve; ``ninep.testing.suite`` needs pytest and hypothesis.
"""
