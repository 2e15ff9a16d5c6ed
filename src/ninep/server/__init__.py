"""The server: ``connection`` (the request loop), ``table`` and ``handlers`` (what each message
does), ``session`` and ``fids`` (what a client has), ``exports``, ``locks``, ``limits``, and
``server``, which holds it all together.
"""
