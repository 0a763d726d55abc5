"""The former path of `charlm.join`."""

from charlm.distributed.join import join as join
