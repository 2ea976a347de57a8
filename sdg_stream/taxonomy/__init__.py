"""Taxonomies: qna.yaml files with their documents, read, checked, and made into the samples of leaf nodes."""
