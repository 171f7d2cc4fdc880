"""Lottery tickets: which weights of a network stay, found and trained in several ways, and what is made of them."""
