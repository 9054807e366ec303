"""Evaluations on the page: their list, one of them with its figures and answers, and the form that begins one."""

from .page import Evaluations

__all__ = ["Evaluations"]
