#!/bin/sh
# The environment of a SCIF app, when one is asked for by --app (https://sci-f.github.io).

carrel_app="${APPTAINER_APPNAME:-${SINGULARITY_APPNAME:-}}"
if [ -n "$carrel_app" ]; then
    SINGULARITY_APPNAME="$carrel_app"
    SCIF_APPS=/scif/apps
    SCIF_APPROOT="/scif/apps/$carrel_app"
    if [ ! -d "$SCIF_APPROOT" ]; then
        echo "this image has no app named $carrel_app" >&2
        exit 1
    fi
    export SINGULARITY_APPNAME SCIF_APPS SCIF_APPROOT
    PATH="$SCIF_APPROOT:$PATH"
    if [ -d "$SCIF_APPROOT/bin" ]; then
        PATH="$SCIF_APPROOT/bin:$PATH"
    fi
    export PATH
    if [ -d "$SCIF_APPROOT/lib" ]; then
        LD_LIBRARY_PATH="$SCIF_APPROOT/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        export LD_LIBRARY_PATH
    fi
    if [ -f "$SCIF_APPROOT/scif/env/01-base.sh" ]; then
        . "$SCIF_APPROOT/scif/env/01-base.sh"
    fi
    if [ -f "$SCIF_APPROOT/scif/env/90-environment.sh" ]; then
        . "$SCIF_APPROOT/scif/env/90-environment.sh"
    fi
fi
unset carrel_app
