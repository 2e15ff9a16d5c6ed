"""Windows as a host, over the NT calls that Win32 itself is made of.

``api`` lists the calls and their numbers as an interface; ``calls`` makes them of the system's own, on Windows only; the fake of the tests is another
one. ``host`` has the verbs of ``ninep.host`` over that interface: ``open`` and ``names`` resolve names to handles; ``stat``, ``listing``, ``links``,
``rename``, ``remove``, ``removed`` and ``streams`` do the work by subject; ``status`` and ``error`` turn what NT says into errors; ``info`` packs the
structures. ``system`` is all of it as plain functions.
"""
