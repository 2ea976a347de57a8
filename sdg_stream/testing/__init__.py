"""Doubles that users of the package need too."""
