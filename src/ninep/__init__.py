"""ninep: serve folders over 9P, and talk to any 9P server.

The floors, each importing only what is below it, are told in ``docs/design.md``.
"""

__version__ = "0.1.0"
