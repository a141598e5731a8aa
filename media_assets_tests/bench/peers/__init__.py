"""What users would write instead: small programs that do the same work, each well known in its kind."""
