"""Bytes to messages and back: ``types``, ``messages`` (the table), ``codec`` (its compiler), ``dialect``. Pure."""
