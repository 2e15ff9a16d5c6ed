"""One function per T-message: ``handler(session, *fields of T) -> fields of R``, or raise.

Each reads check - act - commit: look at fids, state and rights; make one call on a node; change the
session. A handler knows no tag, frame, thread or error reply. ``table`` says which message goes
where.
"""
