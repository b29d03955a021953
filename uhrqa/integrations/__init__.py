"""Other people's harnesses that ask `uhrqa`. None of them is imported before it asks."""
