"""From YAML text to typed structs: pipeline files, prompt configs, settings. Every mistake has a place."""
