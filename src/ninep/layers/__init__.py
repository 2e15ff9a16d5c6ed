"""Policies put around a driver's nodes: read-only, id mapping and squash, run-as, trace.

A layer is a callable ``(root, user) -> root``, applied when somebody attaches; see ``base``. Handlers and drivers know nothing of it.
"""
