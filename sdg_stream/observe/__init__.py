"""Consumers of events: progress on a screen or as lines, and the closing summary of a run."""
