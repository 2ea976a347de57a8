"""Consumers of events: progress and summaries."""
