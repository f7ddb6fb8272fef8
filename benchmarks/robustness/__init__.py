"""Hostile input and sudden ends: what stemclean does with files that were damaged, and with runs that were killed."""
