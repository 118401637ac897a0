"""Releases: a folder with chosen artifacts and all that is known of them, and its verification anywhere."""
