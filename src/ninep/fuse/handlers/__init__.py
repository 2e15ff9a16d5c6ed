"""What each request does, one module for each subject.

A handler gets the session, the node id, the uid and the gid of the request's header, and the fields
of its body; it returns the body of the reply. It knows no header, thread or transport. Failures are
exceptions, as for the handlers of 9P.
"""
