package inside

import "golang.org/x/sys/unix"

// conventions of x86-64 Linux: 64-bit calls, and the 32-bit calls of i386 programs, whose numbers are those of
// arch/x86/entry/syscalls/syscall_32.tbl.
var conventions = []calls{
	{
		arch: unix.AUDIT_ARCH_X86_64,
		x32:  true,
		faked: []uint32{
			unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
			unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
			unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPSET,
		},
		ioctl:     unix.SYS_IOCTL,
		mount:     unix.SYS_MOUNT,
		remounted: []uint32{unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT},
		synced:    []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC},
		mknod:     unix.SYS_MKNOD,
		mknodat:   unix.SYS_MKNODAT,
		denied: []uint32{
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT,
			unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
			unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_ACCT, unix.SYS_SYSLOG,
		},
	},
	{
		arch: unix.AUDIT_ARCH_I386,
		faked: []uint32{
			182, 16, 95, 298, // chown lchown fchown fchownat
			212, 198, 207, // chown32 lchown32 fchown32
			23, 46, 70, 71, 164, 170, // setuid setgid setreuid setregid setresuid setresgid
			213, 214, 203, 204, 208, 210, // the same, 32 bit
			81, 206, // setgroups setgroups32
			138, 139, 215, 216, // setfsuid setfsgid, and 32 bit
			185, // capset
		},
		ioctl:     54,
		mount:     21,
		remounted: []uint32{22, 52, 217},                 // umount umount2 pivot_root
		synced:    []uint32{118, 148, 36, 344, 314, 144}, // fsync fdatasync sync syncfs sync_file_range msync
		mknod:     14,
		mknodat:   297,
		denied: []uint32{
			283, 128, 350, 129, // kexec_load init_module finit_module delete_module
			357, 336, 374, 342, // bpf perf_event_open userfaultfd open_by_handle_at
			288, 286, 287, 88, 87, 115, // keyctl add_key request_key reboot swapon swapoff
			110, 101, 51, 103, // iopl ioperm acct syslog
		},
	},
}
