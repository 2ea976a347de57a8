"""Plan, channels, stages, tracker, run: how records move."""
