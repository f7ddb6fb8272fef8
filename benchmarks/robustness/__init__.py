"""Hostile input and interruptions: how stemclean handles damaged files and killed runs."""
