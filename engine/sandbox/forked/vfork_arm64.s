#include "textflag.h"

// func vfork(flags uintptr, pidfd *int32) (pid, errno uintptr)
//
// The child goes on with this stack while its parent stands still (clone(2), CLONE_VFORK) and writes over what is below the
// caller's frame. The address to return to is in a register.
TEXT ·vfork(SB),NOSPLIT|NOFRAME,$0-32
	MOVD	flags+0(FP), R0
	MOVD	pidfd+8(FP), R2
	MOVD	ZR, R1
	MOVD	ZR, R3
	MOVD	ZR, R4
	MOVD	$220, R8 // clone
	SVC
	MOVD	ZR, errno+24(FP)
	MOVD	R0, pid+16(FP)
	CMP	$0, R0
	BGE	done
	NEG	R0, R0
	MOVD	R0, errno+24(FP)
done:
	RET

// func vfork3(args *cloneArgs, size uintptr) (pid, errno uintptr)
//
// As vfork.
TEXT ·vfork3(SB),NOSPLIT|NOFRAME,$0-32
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	$435, R8 // clone3
	SVC
	MOVD	ZR, errno+24(FP)
	MOVD	R0, pid+16(FP)
	CMP	$0, R0
	BGE	done
	NEG	R0, R0
	MOVD	R0, errno+24(FP)
done:
	RET
