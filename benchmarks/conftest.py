"""For pytest: BLAS is set up as the command does it, before anything loads NumPy."""

from charlm.system.blas import set_up_blas

set_up_blas()
