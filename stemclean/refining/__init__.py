"""What ``refine`` is made of: one pass over the audio, the rounds of self-refining, what they come to."""
