"""Runs verbs over shards; verbs never name it."""
