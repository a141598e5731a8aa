"""Erasing owners, files and people: the plan, the steps in their order, and the proof that nothing is left."""
