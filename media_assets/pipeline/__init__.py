"""What happens to a batch of files: fetching, isolated workers, outcomes. No Dagster, no object-store client."""
