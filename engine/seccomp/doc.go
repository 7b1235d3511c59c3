// Package seccomp turns the profiles that container engines share into filters of the kernel: the JSON form of the OCI
// runtime specification ("Linux Container Configuration", "Seccomp"), and the fields that Docker and Podman add to it.
//
// Where several rules of a profile name the same call, the first whose conditions on arguments hold decides, then the first
// without conditions, then the default action.
package seccomp
