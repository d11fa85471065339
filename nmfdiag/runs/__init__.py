"""What makes results happen: requests, the cache, background jobs."""
