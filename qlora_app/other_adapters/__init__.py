"""Adapters that other programs made: what form they have, PEFT's own form of them, and the base they are for."""
