"""The Textual browser over the trajectory store."""
