"""Drivers: where the files of an export come from. Each implements ``ninep.node``."""
