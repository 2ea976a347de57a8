"""The command line: argv to structs, events to screen, errors to exit codes."""
