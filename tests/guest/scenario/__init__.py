"""What a mounted folder must do: small named checks, run in the guest by its Python, or anywhere
else as a control.

    python3 -m scenario DIR --dialect 9P2000.L --cache none --model mapped-xattr --second DIR2

Standard library only.  Prints one line per check (`ok NAME`, `FAIL NAME: why`, `na NAME: reason`); the exit status is
the number of failures, at most 100.  What a setting cannot do is a row in expectations.py, with its reason; a check
never decides by itself that it need not hold.
"""
