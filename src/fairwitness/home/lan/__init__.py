"""The owner's own network: a certificate that this home makes for itself, and pairing a browser with it (design 9.17)."""
