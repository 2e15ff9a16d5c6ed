"""Windows as a host, over the NT calls that Win32 itself is made of.

``api`` lists the calls and their numbers as an interface; ``calls`` makes them of the system's own,
on Windows only; the fake of the tests is another one. ``host`` has the verbs of ``ninep.host`` over
that interface: ``open`` and ``names`` resolve names to handles; ``tags`` says what a reparse point
is, ``contents`` opens what filter drivers keep; ``roots`` are the exported folders; ``stat``,
``listing``, ``links``, ``rename``, ``remove``, ``removed``, ``streams``, ``read_only`` and
``sparse`` do the work by subject; ``status`` and ``error`` turn what NT says into errors; ``info``
packs the structures. ``system`` is all of it as plain functions.
"""
