"""The parts of the report: what its page shows, the pictures and clips, and the page itself."""
