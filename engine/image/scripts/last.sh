#!/bin/sh
# Libraries of the host that are bound into the container come last; a prompt that says where one is.

LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"
PS1="${PS1:-Singularity> }"
export LD_LIBRARY_PATH PS1
