from embedding_samples import stub

__all__ = ["stub"]
