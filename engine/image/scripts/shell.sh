if [ -n "${SINGULARITY_SHELL:-}" ] && [ -x "$SINGULARITY_SHELL" ]; then
    exec "$SINGULARITY_SHELL" "$@"
elif [ -x /bin/bash ]; then
    exec /bin/bash --norc "$@"
elif [ -x /bin/sh ]; then
    exec /bin/sh "$@"
fi
echo "this image has no shell" >&2
exit 1
