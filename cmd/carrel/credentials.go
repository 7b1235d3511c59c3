package main

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"carrel/engine"
	"carrel/internal/xdg"
)

// credentialFiles are where passwords for registries are looked for, in this order: where `carrel login` stores them, then
// what Docker, Podman and Apptainer keep, which may have been logged in there before.
func credentialFiles(getenv func(string) string, dirs xdg.Dirs) []string {
	files := []string{filepath.Join(dirs.Config, "credentials.json")}
	add := func(folder string, below ...string) {
		if folder != "" {
			files = append(files, filepath.Join(append([]string{folder}, below...)...))
		}
	}
	if docker := getenv("DOCKER_CONFIG"); docker != "" {
		add(docker, "config.json")
	} else {
		add(dirs.Home, ".docker", "config.json")
	}
	add(getenv("REGISTRY_AUTH_FILE"))
	add(getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	add(dirs.Home, ".config", "containers", "auth.json")
	files = append(files, apptainerCredentials(getenv, dirs))
	add(dirs.Home, ".singularity", "docker-config.json")
	return files
}

// dockerHost is where Docker's daemon listens: where the variable says, or, for one that is a user's own, beside that user's
// other sockets. Empty for the usual place.
func dockerHost(getenv func(string) string) string {
	if host := getenv("DOCKER_HOST"); host != "" {
		return host
	}
	for _, socket := range []string{"/var/run/docker.sock", filepath.Join(getenv("XDG_RUNTIME_DIR"), "docker.sock")} {
		if filepath.IsAbs(socket) && unix.Access(socket, unix.W_OK) == nil {
			return "unix://" + socket
		}
	}
	return ""
}

// apptainerCredentials is where `apptainer registry login` stores passwords.
func apptainerCredentials(getenv func(string) string, dirs xdg.Dirs) string {
	if folder := getenv("APPTAINER_CONFIGDIR"); folder != "" {
		return filepath.Join(folder, "docker-config.json")
	}
	return filepath.Join(dirs.Home, ".apptainer", "docker-config.json")
}

// environmentLogin is who one is at registries by the variables that Apptainer reads; nil when they do not say.
func environmentLogin(getenv func(string) string) *engine.RegistryLogin {
	for _, prefix := range []string{"CARREL_", "APPTAINER_", "SINGULARITY_"} {
		user, password := getenv(prefix+"DOCKER_USERNAME"), getenv(prefix+"DOCKER_PASSWORD")
		if user != "" && password != "" {
			return &engine.RegistryLogin{User: user, Password: password}
		}
	}
	return nil
}
