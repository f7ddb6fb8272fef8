"""What the verb ``eval separation`` is made of: pairs of stems, their audio, and what is written."""
