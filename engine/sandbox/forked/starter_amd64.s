#include "textflag.h"

// func starterAddress() uintptr
TEXT ·starterAddress(SB),NOSPLIT,$0-8
	LEAQ	·starter(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func starter()
//
// The code of the starter; see starter.go. It is never run here, but copied into a program of its own, up to the mark. What
// begins at 0x400300 there is laid out in starter.go; the stack is as execve(2) leaves it: argc, argv, 0, envp, 0.
TEXT ·starter(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	SP, R12
	MOVQ	$0x400300, BX
	MOVQ	(BX), R13 // the socket
	ADDQ	$8, BX    // the paths
	MOVQ	R13, DI
	MOVL	$2, SI    // F_SETFD
	MOVL	$1, DX    // FD_CLOEXEC
	MOVL	$72, AX   // fcntl
	SYSCALL
	TESTQ	AX, AX // EBADF: it has done its work, and somebody had it started again
	JLT	end
	MOVQ	(R12), AX
	LEAQ	8(R12), R14         // argv
	LEAQ	16(R12)(AX*8), R15  // envp
	MOVL	$2, R9 // ENOENT
next:
	CMPB	(BX), $0
	JEQ	fail
	MOVQ	BX, DI
	MOVQ	R14, SI
	MOVQ	R15, DX
	MOVL	$59, AX // execve
	SYSCALL
	NEGL	AX
	MOVL	AX, R9
	CMPL	R9, $2  // ENOENT
	JEQ	skip
	CMPL	R9, $13 // EACCES
	JEQ	skip
	CMPL	R9, $20 // ENOTDIR
	JNE	fail
skip:
	INCQ	BX
	CMPB	-1(BX), $0
	JNE	skip
	JMP	next
fail:
	SUBQ	$16, R12 // below the arguments, which nobody needs any more
	MOVL	$2, (R12)
	MOVL	$-1, 4(R12)
	MOVL	R9, 8(R12)
	MOVQ	R13, DI
	MOVQ	R12, SI
	MOVL	$12, DX
	MOVL	$0x4000, R10 // MSG_NOSIGNAL
	XORL	R8, R8
	XORL	R9, R9
	MOVL	$44, AX // sendto
	SYSCALL
end:
	MOVL	$255, DI
	MOVL	$231, AX // exit_group
	SYSCALL
	JMP	end
	QUAD	$0x21646e6572726163
