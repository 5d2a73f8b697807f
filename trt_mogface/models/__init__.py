"""Models by name and by file: cards, contract files, engine manifests."""
