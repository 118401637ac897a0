"""What every room uses: contracts, events, errors, files, digests and paths."""
