#include "textflag.h"

// func starterAddress() uintptr
TEXT ·starterAddress(SB),NOSPLIT,$0-8
	MOVD	$·starter(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func starter()
//
// The code of the starter; see starter.go. It is never run here, but copied into a program of its own, up to the mark. What
// begins at 0x400300 there is laid out in starter.go; the stack is as execve(2) leaves it: argc, argv, 0, envp, 0.
TEXT ·starter(SB),NOSPLIT|NOFRAME,$0-0
	MOVD	RSP, R19
	MOVD	$0x40, R20
	LSL	$16, R20
	ADD	$0x300, R20
	MOVD	(R20), R21 // the socket
	ADD	$8, R20    // the paths
	MOVD	R21, R0
	MOVD	$2, R1  // F_SETFD
	MOVD	$1, R2  // FD_CLOEXEC
	MOVD	$25, R8 // fcntl
	SVC
	TBNZ	$63, R0, end // EBADF: it has done its work, and somebody had it started again
	MOVD	(R19), R3
	ADD	$8, R19, R22  // argv
	ADD	$16, R19, R23
	LSL	$3, R3
	ADD	R3, R23       // envp
	MOVD	$2, R24 // ENOENT
next:
	MOVBU	(R20), R3
	CBZ	R3, fail
	MOVD	R20, R0
	MOVD	R22, R1
	MOVD	R23, R2
	MOVD	$221, R8 // execve
	SVC
	NEG	R0, R24
	CMP	$2, R24  // ENOENT
	BEQ	skip
	CMP	$13, R24 // EACCES
	BEQ	skip
	CMP	$20, R24 // ENOTDIR
	BNE	fail
skip:
	MOVBU	(R20), R3
	ADD	$1, R20
	CBNZ	R3, skip
	B	next
fail:
	SUB	$16, R19 // below the arguments, which nobody needs any more
	MOVD	$2, R3
	MOVW	R3, (R19)
	MOVD	$-1, R3
	MOVW	R3, 4(R19)
	MOVW	R24, 8(R19)
	MOVD	R21, R0
	MOVD	R19, R1
	MOVD	$12, R2
	MOVD	$0x4000, R3 // MSG_NOSIGNAL
	MOVD	$0, R4
	MOVD	$0, R5
	MOVD	$206, R8 // sendto
	SVC
end:
	MOVD	$255, R0
	MOVD	$94, R8 // exit_group
	SVC
	B	end
	DWORD	$0x21646e6572726163
