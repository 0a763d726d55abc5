"""The former path of `charlm.classify`."""

from charlm.inference.classification import classify as classify
