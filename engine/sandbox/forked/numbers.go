package forked

// What package syscall does not know (include/uapi/linux; the numbers of calls are those of amd64 and arm64 alike, but for
// execveat(2)).
const (
	sysCloseRange   = 436
	clonePidfd      = 0x1000
	cloneIntoCgroup = 0x200000000
	atEmptyPath     = 0x1000
)
