"""Choices the compiler makes where the user leaves them open, each by a stated rule."""
