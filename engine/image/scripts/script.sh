if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    if [ -x "/scif/apps/$SINGULARITY_APPNAME/scif/@SCRIPT@" ]; then
        exec "/scif/apps/$SINGULARITY_APPNAME/scif/@SCRIPT@" "$@"
    fi
    echo "the app $SINGULARITY_APPNAME of this image has no @SCRIPT@" >&2
    exit 1
fi
if [ -x /.singularity.d/@SCRIPT@ ]; then
    exec /.singularity.d/@SCRIPT@ "$@"
fi
