"""The teacher client: one retry loop over admission, routing and one backend."""
