"""Mutants of any pair, made from the torch module at hand: the reference is changed, its code is not touched."""

from jaxdec.parity.certificate.mutants.all import generic_mutants

__all__ = ["generic_mutants"]
