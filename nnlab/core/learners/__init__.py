"""Learners: what the loop trains. All keep the one protocol, so the loop knows none of them."""
