#include "textflag.h"

// func getrlimit(limit *Rlimit)
TEXT ·getrlimit(SB),NOSPLIT,$0-8
	MOVQ	limit+0(FP), R10
	XORL	DI, DI
	MOVL	$7, SI // RLIMIT_NOFILE
	XORL	DX, DX
	MOVL	$302, AX // prlimit64
	SYSCALL
	RET
