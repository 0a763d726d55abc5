"""Set up BLAS as the `charlm` command does, before pytest loads NumPy."""

from charlm.system.blas import set_up_blas

set_up_blas()
