"""A storm of uploads, faults and ``kill -9`` against the real service, and an account of it from outside."""
