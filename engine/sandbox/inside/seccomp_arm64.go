package inside

import "golang.org/x/sys/unix"

// conventions of 64-bit ARM Linux: its own calls, and those of 32-bit ARM programs (arch/arm/tools/syscall.tbl).
var conventions = []calls{
	{
		arch: unix.AUDIT_ARCH_AARCH64,
		faked: []uint32{
			unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
			unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
			unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPSET,
		},
		ioctl:     unix.SYS_IOCTL,
		mount:     unix.SYS_MOUNT,
		remounted: []uint32{unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT},
		synced:    []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC},
		mknodat:   unix.SYS_MKNODAT,
		denied: []uint32{
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT,
			unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
			unix.SYS_ACCT, unix.SYS_SYSLOG,
		},
	},
	{
		arch: unix.AUDIT_ARCH_ARM,
		faked: []uint32{
			182, 16, 95, 325, 212, 198, 207,
			23, 46, 70, 71, 164, 170, 213, 214, 203, 204, 208, 210,
			81, 206, 138, 139, 215, 216, 185,
		},
		ioctl:     54,
		mount:     21,
		remounted: []uint32{22, 52, 218}, // umount umount2 pivot_root
		synced:    []uint32{118, 148, 36, 373, 341, 144},
		mknod:     14,
		mknodat:   324,
		denied: []uint32{
			347, 128, 379, 129, 386, 364, 388, 371, 311, 309, 310, 88, 87, 115, 51, 103,
		},
	},
}
