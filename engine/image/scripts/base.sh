#!/bin/sh
# Sourced first. Kept for programs that look for it; the image's variables are in the files that follow.
