"""The built-in blocks, one file each; the catalog names them."""
