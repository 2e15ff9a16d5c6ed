"""The wire format: conversion between bytes and messages, without I/O or state.

``types`` declares field types and records, ``messages`` the table of all messages, ``codec``
compiles the table, ``dialect`` describes the three dialects, ``modes`` converts file modes,
``cookies`` translates directory offsets.
"""
