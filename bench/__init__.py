"""The benchmark: this server, other servers, and the limit of the machine, compared with each
other.

`python bench/run.py` runs all of it; `docs/performance.md` explains the figures.  Nothing here is
part of the package, and nothing here may import it: the servers are started as programs.
"""
