// Package propose looks at a folder and proposes definition files that run what is in it: notebooks, a Python or R script
// or app, a page, a Dockerfile, or an environment as repo2docker reads it (environment.yml, requirements.txt, install.R,
// apt.txt, postBuild, start; https://repo2docker.readthedocs.io, "Configuration Files").
//
// It reads names and the beginnings of files, executes nothing and asks no network. What it proposes are values that a
// person can change one by one (Spec), from which the text of the definition is written each time anew.
package propose
