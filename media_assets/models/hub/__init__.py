"""Models of tier ``hub``: run by transformers and torch, pinned to a commit of their repository."""
