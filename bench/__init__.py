"""The benchmark: our server, its peers and the limit of the machine, side by side.

`python bench/run.py` is the whole of it; `docs/performance.md` says what the figures mean.  Nothing here is part of the
package, and nothing here may import it: the servers are programs that are started, never modules.
"""
