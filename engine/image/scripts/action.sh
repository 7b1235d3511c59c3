#!/bin/sh
# Entry by the image's own scripts, for runtimes that call them: the environment, then the action.

for file in /.singularity.d/env/*.sh; do
    if [ -f "$file" ]; then
        . "$file"
    fi
done

