"""Chains as data: found when they run, written as JSON, told apart by their content, and built again from it."""
