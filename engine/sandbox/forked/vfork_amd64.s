#include "textflag.h"

// func vfork(flags uintptr, pidfd *int32) (pid, errno uintptr)
//
// The child goes on with this stack while its parent stands still (clone(2), CLONE_VFORK) and writes over what is below the
// caller's frame, the address to return to among it. So both keep that in a register.
TEXT ·vfork(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	flags+0(FP), DI
	MOVQ	pidfd+8(FP), DX
	XORL	SI, SI
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$56, AX // clone
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	MOVQ	$0, errno+24(FP)
	MOVQ	AX, pid+16(FP)
	TESTQ	AX, AX
	JGE	done
	NEGQ	AX
	MOVQ	AX, errno+24(FP)
done:
	RET

// func vfork3(args *cloneArgs, size uintptr) (pid, errno uintptr)
//
// As vfork.
TEXT ·vfork3(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVL	$435, AX // clone3
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	MOVQ	$0, errno+24(FP)
	MOVQ	AX, pid+16(FP)
	TESTQ	AX, AX
	JGE	done
	NEGQ	AX
	MOVQ	AX, errno+24(FP)
done:
	RET
