from charlm.distributed.join import join as join
