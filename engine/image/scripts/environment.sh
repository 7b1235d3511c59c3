#!/bin/sh
# Variables of this image, from the %environment of its definition file.
