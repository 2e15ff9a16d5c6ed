"""Coverage-guided fuzzing of the decoder and of whole sessions.

    python -m fuzz decoder --runs 1000000       with atheris (pip install -e .[fuzz]), else by chance alone
    python -m fuzz memory --runs 20000
    python -m fuzz local crash-0123...           try given files once

Each harness (``decoder``, ``memory``, ``local``) says at its head what the only legal outcomes are; anything else is an exception, and the
input that led there is kept. ``corpus/`` has a few inputs to begin with, one folder for each harness; a session's are conversations: the
frames that a client sends, as they travel, and words to the harness in between (``frames``).
"""
