"""Sandboxed Jinja, prompt assembly, chat templates, and the parsing of replies."""
