package forked

const (
	sysExecveat = 281
	elfMachine  = 183 // EM_AARCH64
)
