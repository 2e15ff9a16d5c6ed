"""Coverage-guided fuzzing of the decoder and of whole sessions.

    python -m fuzz decoder --runs 1000000       with atheris (pip install -e .[fuzz]), otherwise random
    python -m fuzz memory --runs 20000
    python -m fuzz local crash-0123...           run given files once

Each harness (``engine.HARNESSES``) lists the legal outcomes in its docstring; any
other is an exception, and its input is saved. ``corpus/`` has initial inputs, one folder for each
harness. The inputs of sessions are conversations: the frames of a client, in wire format, with
commands for the harness in between (``frames``).
"""
