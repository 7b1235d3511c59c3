package forked

const (
	sysExecveat = 322
	elfMachine  = 62 // EM_X86_64
)
